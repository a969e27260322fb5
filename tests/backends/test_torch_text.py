"""The text engine on two-layer models of many architectures, held against transformers' own `generate`."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, GPT2TokenizerFast

from aigc_cli.backends.text_stream import DeltaBuffer, Detokenizer, byte_token_ids
from aigc_cli.backends.torch_text import TorchTextEngine
from aigc_cli.core.engine import EngineOptions, ModelSource
from aigc_cli.core.errors import AigcError, ContextOverflowError, ModelError, UsageError
from aigc_cli.core.events import Caution, Done, Event, TextDelta
from aigc_cli.core.request import Message, Sampling, TextRequest
from tests.backends.tiny_models import ARCHITECTURES, build_model, build_tokenizer

PROMPT = "Once upon a time 你好 👩‍💻"


@pytest.fixture(scope="session")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the architecture that the test names."""
    return build_model(tmp_path_factory.mktemp("models") / request.param, request.param)


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model(tmp_path_factory.mktemp("models") / "llama", "llama")


@pytest.fixture(scope="session")
def engine(llama: Path) -> TorchTextEngine:
    return open_engine(llama)


def open_engine(path: Path, kind: Any = "folder", **source: Any) -> TorchTextEngine:
    return TorchTextEngine(ModelSource("test", kind, path, **source), EngineOptions(device="cpu", dtype="float32"))


def ask(*texts: str, **options: Any) -> TextRequest:
    roles = ("user", "assistant") * len(texts)
    sampling = options.pop("sampling", Sampling(temperature=0.0))
    messages = tuple(Message(role, text) for role, text in zip(roles, texts, strict=False))  # type: ignore[arg-type]
    return TextRequest(messages=messages, sampling=sampling, **{"mode": "raw", "max_new_tokens": 24, **options})


def texts(events: list[Event]) -> list[str]:
    deltas = [event for event in events if isinstance(event, TextDelta)]
    count = 1 + max((delta.index for delta in deltas), default=0)
    return ["".join(delta.text for delta in deltas if delta.index == index) for index in range(count)]


def done(events: list[Event]) -> Done:
    assert isinstance(events[-1], Done)
    assert sum(isinstance(event, Done) for event in events) == 1
    return events[-1]


def generated(path: Path, **options: Any) -> list[str]:
    """What transformers' generate makes of PROMPT."""
    tokenizer = AutoTokenizer.from_pretrained(path)
    inputs = tokenizer(PROMPT, return_tensors="pt").input_ids
    is_seq2seq = any(name in str(path) for name in ("t5", "bart"))
    model = (AutoModelForSeq2SeqLM if is_seq2seq else AutoModelForCausalLM).from_pretrained(path, dtype=torch.float32)
    found = model.generate(inputs, attention_mask=torch.ones_like(inputs), do_sample=False, max_new_tokens=24, **options)
    return tokenizer.batch_decode(found[:, 1 if is_seq2seq else inputs.shape[1] :], skip_special_tokens=True)


@pytest.mark.parametrize("folder", sorted(ARCHITECTURES), indirect=True)
def test_greedy_equals_generate(folder: Path) -> None:
    events = list(open_engine(folder).stream(ask(PROMPT)))
    assert texts(events) == generated(folder)
    assert len(texts(events)[0]) > 10


@pytest.mark.parametrize("folder", ["gpt2", "llama", "t5", "bart"], indirect=True)
def test_beam_search_equals_generate(folder: Path) -> None:
    request = ask(PROMPT, num_beams=4, n=2, early_stopping=True, sampling=Sampling(no_repeat_ngram_size=2))
    expected = generated(folder, num_beams=4, num_return_sequences=2, early_stopping=True, no_repeat_ngram_size=2)
    assert texts(list(open_engine(folder).stream(request))) == expected


@pytest.mark.parametrize("folder", ["llama", "gpt2"], indirect=True)
def test_penalties_equal_generate(folder: Path) -> None:
    request = ask(PROMPT, sampling=Sampling(temperature=0.0, repetition_penalty=1.5, no_repeat_ngram_size=3), min_new_tokens=20)
    expected = generated(folder, repetition_penalty=1.5, no_repeat_ngram_size=3, min_new_tokens=20)
    assert texts(list(open_engine(folder).stream(request))) == expected


@pytest.mark.parametrize("folder", ["llama", "gemma2", "mamba", "t5"], indirect=True)
def test_a_sampled_text_is_the_same_alone_and_beside_others(folder: Path) -> None:
    engine, sampling = open_engine(folder), Sampling(temperature=4.0, top_p=0.95)
    for seed in range(4):
        alone = texts(list(engine.stream(ask(PROMPT, seed=seed, sampling=sampling))))
        beside = texts(list(engine.stream(ask(PROMPT, seed=seed, n=4, sampling=sampling))))
        assert beside[0] == alone[0]
        assert len(set(beside)) > 1


@pytest.mark.parametrize("folder", ["rwkv"], indirect=True)
def test_what_transformers_gets_wrong_in_a_batch_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="RWKV"):
        list(open_engine(folder).stream(ask(PROMPT, n=2)))


def test_a_seed_that_is_drawn_is_reported_and_replays(engine: TorchTextEngine) -> None:
    sampling = Sampling(temperature=1.0)
    first = list(engine.stream(ask(PROMPT, sampling=sampling)))
    again = list(engine.stream(ask(PROMPT, sampling=sampling, seed=done(first).seed)))
    assert texts(first) == texts(again)


def test_done_counts(engine: TorchTextEngine) -> None:
    events = done(list(engine.stream(ask(PROMPT, n=3, sampling=Sampling(temperature=1.0), min_new_tokens=24))))
    assert events.completion_tokens == 72
    assert events.finish_reasons == ("length",) * 3
    assert events.prompt_tokens == len(engine.tokenizer(PROMPT).input_ids)
    assert 0 < events.ttft <= events.seconds  # type: ignore[operator]
    assert events.tokens_per_second > 0  # type: ignore[operator]
    assert events.peak_memory > 2**20  # type: ignore[operator]


def test_a_stop_string_is_not_shown(engine: TorchTextEngine) -> None:
    whole = texts(list(engine.stream(ask(PROMPT))))[0]
    stop = whole[7:11]
    events = list(engine.stream(ask(PROMPT, stop=(stop,))))
    assert texts(events)[0] == whole[: whole.index(stop)]
    assert done(events).finish_reason == "stop"


def test_logit_bias_forces_a_token(engine: TorchTextEngine) -> None:
    token = engine.tokenizer("fox", add_special_tokens=False).input_ids[0]
    events = list(engine.stream(ask(PROMPT, max_new_tokens=3, sampling=Sampling(temperature=0.0, logit_bias=((token, 1000.0),)))))
    assert texts(events)[0] == engine.tokenizer.decode([token] * 3)


@pytest.mark.parametrize("num_beams", [1, 3])
def test_a_bias_outside_the_vocabulary_is_refused(engine: TorchTextEngine, num_beams: int) -> None:
    with pytest.raises(UsageError, match=r"there is no token 99999"):
        list(engine.stream(ask(PROMPT, num_beams=num_beams, sampling=Sampling(logit_bias=((99999, 1.0),)))))


class TestDamagedWeights:
    """What loads and yet is not sound is said."""

    def change(self, folder: Path, **tensors: torch.Tensor | None) -> Path:
        weights = load_file(folder / "model.safetensors")
        for name, tensor in tensors.items():
            weights.pop(name, None)
            if tensor is not None:
                weights[name] = tensor
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return build_model(tmp_path / "damaged", "llama")

    @pytest.mark.parametrize("value", [torch.nan, 1e38])
    def test_numbers_that_are_not_finite_stop_the_text(self, folder: Path, value: float) -> None:
        name = "model.layers.1.mlp.down_proj.weight"
        engine = open_engine(self.change(folder, **{name: torch.full((32, 64), value)}))
        with pytest.raises(AigcError, match="not a number"):
            list(engine.stream(ask(PROMPT)))

    def test_missing_tensors(self, folder: Path) -> None:
        with pytest.raises(ModelError, match=r"1 tensors are missing, model\.norm\.weight"):
            open_engine(self.change(folder, **{"model.norm.weight": None}))

    def test_tensors_of_another_shape(self, folder: Path) -> None:
        with pytest.raises(ModelError, match=r"model\.norm\.weight is \(7,\) in the file and \(32,\) by its config"):
            open_engine(self.change(folder, **{"model.norm.weight": torch.ones(7)}))

    def test_tensors_that_nothing_uses(self, folder: Path) -> None:
        engine = open_engine(self.change(folder, **{"model.layers.7.extra.weight": torch.ones(7)}))
        cautions = [event.message for event in engine.stream(ask(PROMPT)) if isinstance(event, Caution)]
        assert cautions == ["1 tensors in the file belong to no part of this model, model.layers.7.extra.weight among them"]

    def test_a_tokenizer_that_is_no_json(self, folder: Path) -> None:
        (folder / "tokenizer.json").write_text("{ broken")
        with pytest.raises(ModelError, match=r"the tokenizer in .* cannot be read"):
            open_engine(folder)

    def test_a_model_that_wants_code_of_its_own(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        config |= {"model_type": "unheard-of", "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "evil.py").write_text("open('ran', 'w')")
        with pytest.raises(ModelError, match="never runs code"):
            open_engine(folder)
        assert not Path("ran").exists()


class TestCache:
    """What was computed for one request serves the next."""

    def test_only_the_new_suffix_is_prefilled_and_the_text_is_the_same(self, llama: Path) -> None:
        engine = open_engine(llama)
        talk = ["Hello there, fox."]
        for turn in range(4):
            events = list(engine.stream(ask(*talk, mode="chat", max_new_tokens=8)))
            fresh = list(open_engine(llama).stream(ask(*talk, mode="chat", max_new_tokens=8)))
            assert texts(events) == texts(fresh)
            if turn:
                previous = len(engine.tokenizer(talk[0]).input_ids)
                assert done(events).cached_tokens > previous  # type: ignore[operator]
            talk += [texts(events)[0], f"And then {turn}?"]

    def test_another_prompt_forgets_what_differs(self, engine: TorchTextEngine) -> None:
        list(engine.stream(ask("The quick brown fox jumps over the lazy dog.")))
        events = list(engine.stream(ask("The quick brown bear")))
        assert texts(events) == texts(list(engine.stream(ask("The quick brown bear"))))
        assert 0 < done(events).cached_tokens < done(events).prompt_tokens  # type: ignore[operator]

    def test_an_interrupted_stream_leaves_the_engine_usable(self, engine: TorchTextEngine) -> None:
        expected = texts(list(engine.stream(ask(PROMPT))))
        stream = engine.stream(ask("The dog sleeps; the fox does not."))
        next(stream)
        stream.close()  # type: ignore[attr-defined]
        assert texts(list(engine.stream(ask(PROMPT)))) == expected

    @pytest.mark.parametrize("n", [1, 3])
    def test_closing_after_any_token_leaves_the_engine_usable(self, llama: Path, n: int) -> None:
        engine = open_engine(llama)
        expected = texts(list(engine.stream(ask(PROMPT))))
        for pieces in range(1, 4):
            # an end of text drawn early would leave nothing to close
            stream = engine.stream(ask(PROMPT, n=n, sampling=Sampling(temperature=1.0), min_new_tokens=24, seed=pieces))
            for _ in range(pieces):
                next(stream)
            stream.close()
            assert texts(list(engine.stream(ask(PROMPT)))) == expected

    def test_an_interruption_before_the_ids_are_noted_is_noticed(self, llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        engine = open_engine(llama)
        expected = texts(list(engine.stream(ask(PROMPT))))
        forward = engine.decoder._forward

        def interrupted(rows: list[list[int]]) -> Any:
            forward(rows)  # the cache has taken the token
            raise KeyboardInterrupt

        stream = engine.stream(ask(PROMPT))
        next(stream)
        with monkeypatch.context() as patch:
            patch.setattr(engine.decoder, "_forward", interrupted)
            with pytest.raises(KeyboardInterrupt):
                list(stream)
        assert texts(list(engine.stream(ask(PROMPT)))) == expected

    def test_a_forward_that_fails_leaves_the_engine_usable(self, engine: TorchTextEngine, monkeypatch: pytest.MonkeyPatch) -> None:
        expected = texts(list(engine.stream(ask(PROMPT))))
        layer = engine.decoder.model.model.layers[1]
        with monkeypatch.context() as patch:
            patch.setattr(layer, "forward", lambda *args, **kwargs: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                list(engine.stream(ask(PROMPT + " and more")))
        assert texts(list(engine.stream(ask(PROMPT)))) == expected

    def test_a_sliding_window_is_computed_anew_when_it_cannot_go_back(self, tmp_path: Path) -> None:
        engine = open_engine(build_model(tmp_path / "mistral", "mistral", sliding_window=8))
        list(engine.stream(ask("The quick brown fox jumps over the lazy dog. The dog sleeps.")))
        events = list(engine.stream(ask("The quick brown fox jumps high.")))
        fresh = open_engine(tmp_path / "mistral")
        assert texts(events) == texts(list(fresh.stream(ask("The quick brown fox jumps high."))))


class TestContext:
    """Tokens are counted before the model runs."""

    def test_what_does_not_fit_is_refused_with_the_numbers(self, engine: TorchTextEngine) -> None:
        prompt = "fox " * 300
        length = len(engine.tokenizer(prompt).input_ids)
        with pytest.raises(ContextOverflowError, match=rf"{length} tokens and --max-new-tokens 24.* 256"):
            list(engine.stream(ask(prompt)))

    def test_the_last_token_that_fits(self, engine: TorchTextEngine) -> None:
        length = len(engine.tokenizer(PROMPT).input_ids)
        events = list(engine.stream(ask(PROMPT, max_new_tokens=256 - length, min_new_tokens=256 - length)))
        assert done(events).completion_tokens == 256 - length
        with pytest.raises(ContextOverflowError):
            list(engine.stream(ask(PROMPT, max_new_tokens=257 - length)))

    def test_without_a_length_the_context_is_the_limit(self, engine: TorchTextEngine) -> None:
        never_ends = Sampling(temperature=0.0, logit_bias=((engine.end_ids[0], -1000.0),))
        events = list(engine.stream(ask(PROMPT, max_new_tokens=None, sampling=never_ends)))
        assert done(events).completion_tokens == 256 - len(engine.tokenizer(PROMPT).input_ids)
        assert done(events).finish_reason == "length"

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"max_new_tokens": 300}, "--max-new-tokens 300; .* 256"),
            ({"max_new_tokens": None, "min_new_tokens": 250}, "--min-new-tokens 250; .* 256"),
        ],
    )
    def test_a_length_that_cannot_be_had_is_refused(self, engine: TorchTextEngine, options: dict[str, Any], words: str) -> None:
        with pytest.raises(ContextOverflowError, match=words):
            list(engine.stream(ask(PROMPT, **options)))

    @pytest.mark.parametrize("folder", ["bart"], indirect=True)
    def test_an_encoder_decoder_refuses_what_it_cannot_write(self, folder: Path) -> None:
        engine = open_engine(folder)
        with pytest.raises(ContextOverflowError, match="--max-new-tokens 5000 is more than the 255"):
            list(engine.stream(ask(PROMPT, max_new_tokens=5000)))

    @pytest.mark.parametrize("how", ["oldest", "middle"])
    def test_a_text_is_cut_and_the_cut_is_reported(self, engine: TorchTextEngine, how: Any) -> None:
        words = " ".join(f"word{i}" for i in range(200))
        events = done(list(engine.stream(ask(words, truncate=how))))
        assert events.kept == 256 - 24
        assert events.kept + events.dropped == len(engine.tokenizer(words).input_ids)  # type: ignore[operator]

    def test_whole_turns_are_dropped(self, engine: TorchTextEngine) -> None:
        talk = [f"{'The quick brown fox jumps. ' * 4}{i}" for i in range(9)]
        events = done(list(engine.stream(ask(*talk, mode="chat", truncate="oldest"))))
        assert events.dropped > 0  # type: ignore[operator]
        assert events.kept + 24 <= 256  # type: ignore[operator]
        with pytest.raises(ContextOverflowError):
            list(engine.stream(ask(*talk, mode="chat")))

    def test_the_middle_of_a_long_message_is_dropped(self, engine: TorchTextEngine) -> None:
        events = done(list(engine.stream(ask("床前明月光，" * 200, mode="chat", truncate="middle"))))
        assert events.dropped > 0  # type: ignore[operator]
        assert events.prompt_tokens + 24 <= 256  # type: ignore[operator]

    @pytest.mark.parametrize("mode", ["raw", "chat"])
    def test_a_text_that_is_far_too_long_is_never_tokenised_whole(
        self, engine: TorchTextEngine, monkeypatch: pytest.MonkeyPatch, mode: Any
    ) -> None:
        longest = 0
        tokenizer = engine.prompter.tokenizer

        class Watched:
            def __call__(self, text: str, **options: Any) -> Any:
                nonlocal longest
                longest = max(longest, len(text))
                return tokenizer(text, **options)

            def __getattr__(self, name: str) -> Any:
                return getattr(tokenizer, name)

        monkeypatch.setattr(engine.prompter, "tokenizer", Watched())
        text = "第一行。The quick brown fox. " * 40_000
        with pytest.raises(ContextOverflowError, match="more than 232 tokens"):
            list(engine.stream(ask(text, mode=mode)))
        events = done(list(engine.stream(ask(text, mode=mode, truncate="middle"))))
        assert longest < len(text) / 8
        assert events.prompt_tokens <= 232  # type: ignore[operator]
        assert events.kept + events.dropped == pytest.approx(len(tokenizer(text).input_ids), rel=0.01)  # type: ignore[operator]


class TestTemplates:
    def test_a_model_without_a_template_gets_a_plain_transcript_and_says_so_once(self, tmp_path: Path) -> None:
        folder = build_model(tmp_path / "base", "llama")
        build_tokenizer(folder, chat_template=None)
        (folder / "chat_template.jinja").unlink(missing_ok=True)
        engine = open_engine(folder)
        cautions = [event for _ in range(2) for event in engine.stream(ask("Hi", mode="chat")) if isinstance(event, Caution)]
        assert len(cautions) == 1
        assert "no chat template" in cautions[0].message

    @pytest.mark.parametrize(
        "template",
        [
            "{{ raise_exception('no system role') }}",
            "{{ messages[7].content }}",
            "{% for",
            "{{ 1 / 0 }}",
            "{% macro again() %}{{ again() }}{% endmacro %}{{ again() }}",
            "{{ 'x' * 10 ** 14 }}",
        ],
    )
    def test_a_template_that_raises_is_a_usage_error(self, llama: Path, template: str) -> None:
        engine = open_engine(llama)
        engine.tokenizer.chat_template = template
        with pytest.raises(UsageError, match="chat template refuses"):
            list(engine.stream(ask("Hi", mode="chat")))

    def test_a_template_that_says_nothing_is_refused(self, llama: Path) -> None:
        engine = open_engine(llama)
        engine.tokenizer.chat_template = "{# nothing #}"
        with pytest.raises(UsageError, match="nothing is left"):
            list(engine.stream(ask("Hi", mode="chat")))

    def test_a_template_that_never_ends_is_stopped(self, llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("aigc_cli.backends.prompting.TEMPLATE_SECONDS", 0.2)
        engine = open_engine(llama)
        engine.tokenizer.chat_template = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
        with pytest.raises(UsageError, match="ran for more than"):
            list(engine.stream(ask("Hi", mode="chat")))

    def test_auto_follows_the_model(self, engine: TorchTextEngine, llama: Path) -> None:
        assert done(list(engine.stream(ask("Hi", mode="auto")))).mode == "chat"
        assert done(list(open_engine(llama, mode="raw").stream(ask("Hi", mode="auto")))).mode == "raw"


def test_odd_settings_of_a_model_are_left_out_and_said(tmp_path: Path) -> None:
    folder = build_model(tmp_path / "odd", "llama")
    settings = {"do_sample": True, "temperature": 0.5, "top_p": 7.0, "top_k": -1, "eos_token_id": 0}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    engine = open_engine(folder)
    assert engine.sampling == Sampling(temperature=0.5)
    cautions = [event.message for _ in range(2) for event in engine.stream(ask(PROMPT)) if isinstance(event, Caution)]
    assert cautions == ["the model's generation_config has top_p = 7.0, which is left out"]


class TestRealWeights:
    STORY = ", there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball."

    def test_a_story(self, data: Path) -> None:
        events = list(open_engine(data / "models/stories260K-hf").stream(ask("Once upon a time", max_new_tokens=60)))
        assert texts(events)[0].startswith(self.STORY)

    def test_the_same_weights_as_gguf(self, data: Path) -> None:
        engine = open_engine(data / "models/gguf/stories260K-f32.gguf", kind="gguf")
        assert texts(list(engine.stream(ask("Once upon a time", max_new_tokens=60))))[0].startswith(self.STORY)

    def test_quantised_gguf(self, data: Path) -> None:
        engine = open_engine(data / "models/gguf/stories260K-q8_0.gguf", kind="gguf")
        assert texts(list(engine.stream(ask("Once upon a time", max_new_tokens=60))))[0].startswith(", there was a little")

    @pytest.mark.parametrize("name", ["models/stories260K-hf", "tokenizers/qwen3"])
    def test_joined_deltas_equal_the_decode_of_any_tokens(self, data: Path, name: str) -> None:
        tokenizer = AutoTokenizer.from_pretrained(data / name)
        byte_ids, draw = byte_token_ids(tokenizer.get_vocab()), random.Random(1)
        for _ in range(200):
            ids = [draw.randrange(512) for _ in range(draw.randint(1, 30))]
            detokenizer = Detokenizer(tokenizer.decode, byte_ids=byte_ids)
            assert "".join([*map(detokenizer.push, ids), detokenizer.finish()]) == tokenizer.decode(ids)

    @pytest.mark.parametrize("name", ["qwen3", "gpt2", "t5"])
    def test_joined_deltas_equal_the_decode_with_real_tokenizers(self, data: Path, name: str) -> None:
        kind = GPT2TokenizerFast if name == "gpt2" else AutoTokenizer  # gpt2's folder holds its vocabulary only
        tokenizer = kind.from_pretrained(data / "tokenizers" / name)
        text = "Hello wörld! 你好，世界 👨‍👩‍👧‍👦 e\u0301 — naïve 🇨🇳 don't  stop\n\n的"
        ids = tokenizer(text, add_special_tokens=False).input_ids
        detokenizer, buffer = Detokenizer(tokenizer.decode), DeltaBuffer()
        pieces = [piece for token in ids for _, piece in buffer.feed(detokenizer.push(token))]
        pieces += [piece for _, piece in buffer.feed(detokenizer.finish()) + buffer.flush()]
        assert "".join(pieces) == tokenizer.decode(ids)

"""Adapters merged at load: held against PEFT, which keeps them beside the weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from aigc_cli.backends import open_text_engine
from aigc_cli.backends.adapters import merge_adapters
from aigc_cli.core.engine import EngineOptions, ModelSource
from aigc_cli.core.errors import ModelError
from aigc_cli.core.events import Done, TextDelta
from aigc_cli.core.request import Message, Sampling, TextRequest
from tests.backends.tiny_adapters import build_adapter, peft_logits
from tests.backends.tiny_models import build_model, build_tokenizer

IDS = torch.arange(40)[None]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model(tmp_path_factory.mktemp("base"), "llama")


def logits(base: Path, *adapters: tuple[Path, float], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    if adapters:
        merge_adapters(model, adapters)
    assert not any("lora" in name or "base_layer" in name for name, _ in model.named_modules())
    with torch.no_grad():
        result: torch.Tensor = model.eval()(IDS).logits
    return result


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rank-stabilised": {"use_rslora": True},
    "dora": {"use_dora": True},
    "rank per layer": {"rank_pattern": {"q_proj": 2, "c_attn": 2}, "alpha_pattern": {"q_proj": 3, "c_attn": 3}},
    "embedding": {"target_modules": ["embed_tokens", "wte"]},
    "head in full": {"target_modules": ["q_proj", "c_attn"], "modules_to_save": ["lm_head"]},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("tied", [False, True])
def test_merged_logits_are_those_of_peft(tmp_path: Path, architecture: str, tied: bool, kind: str) -> None:
    base = build_model(tmp_path / "base", architecture, tie_word_embeddings=tied, initializer_range=0.1)
    adapter = build_adapter(tmp_path / "adapter", base, **KINDS[kind])
    wanted = peft_logits(base, adapter, IDS)
    assert (wanted - logits(base)).abs().max() > 0.1
    torch.testing.assert_close(logits(base, (adapter, 1.0)), wanted, atol=1e-5, rtol=0)


def test_a_merged_model_is_saved_whole_where_the_embedding_was_tied(tmp_path: Path) -> None:
    base = build_model(tmp_path / "base", "llama", tie_word_embeddings=True)
    adapter = build_adapter(tmp_path / "adapter", base, target_modules=["embed_tokens"])
    model = AutoModelForCausalLM.from_pretrained(base)
    merge_adapters(model, [(adapter, 1.0)])
    model.save_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits(tmp_path / "merged"), peft_logits(base, adapter, IDS), atol=1e-5, rtol=0)


def test_adapters_add_up_and_scale(tmp_path: Path, base: Path) -> None:
    folders = [build_adapter(tmp_path / name, base, seed=seed, use_dora=dora) for name, seed, dora in (("a", 1, False), ("b", 2, True))]
    states = [weights(base), *(weights(base, (folder, 1.0)) for folder in folders)]
    together = weights(base, (folders[0], 0.5), (folders[1], -2.0))
    for name, before in states[0].items():
        wanted = before + 0.5 * (states[1][name] - before) - 2.0 * (states[2][name] - before)
        torch.testing.assert_close(together[name], wanted, atol=1e-5, rtol=1e-5)


def weights(base: Path, *adapters: tuple[Path, float]) -> dict[str, torch.Tensor]:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if adapters:
        merge_adapters(model, adapters)
    return dict(model.state_dict())


def test_sixteen_bits_are_rounded_once(tmp_path: Path, base: Path) -> None:
    adapters = [(build_adapter(tmp_path / str(seed), base, seed=seed, strength=0.02), 1.0) for seed in (1, 2, 3)]
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    exact = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).float()
    merge_adapters(model, adapters)
    merge_adapters(exact, adapters)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, exact.state_dict()[name].to(torch.bfloat16)), name


def test_an_adapter_of_another_width_is_named(tmp_path: Path, base: Path) -> None:
    other = build_model(tmp_path / "other", "llama", hidden_size=64)
    adapter = build_adapter(tmp_path / "adapter", other)
    with pytest.raises(
        ModelError, match=r"does not fit this LlamaForCausalLM: model.layers.0.* is \(64, 4\) in the adapter and \(32, 4\) by the model"
    ):
        logits(base, (adapter, 1.0))


def test_an_adapter_of_a_deeper_model_is_named(tmp_path: Path, base: Path) -> None:
    other = build_model(tmp_path / "other", "llama", num_hidden_layers=3)
    with pytest.raises(ModelError, match=r"14 of its tensors have no place there: model\.layers\.2"):
        logits(base, (build_adapter(tmp_path / "adapter", other), 1.0))
    shallow = build_adapter(tmp_path / "shallow", base, target_modules=["q_proj"])
    with pytest.raises(ModelError, match=r"it lacks 2 tensors that its config announces: model\.layers\.2"):
        logits(other, (shallow, 1.0))


def test_what_peft_says_against_an_adapter_is_said(tmp_path: Path, base: Path) -> None:
    adapter = build_adapter(tmp_path / "adapter", base)
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "target_modules": ["norm"]}))
    with pytest.raises(ModelError, match=r"cannot be loaded: Target module .*Norm.* is not supported"):
        logits(base, (adapter, 1.0))


def test_weights_that_are_not_shared_are_changed_in_place(tmp_path: Path, base: Path) -> None:
    """A copy of each would take as much memory as the model."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    before = dict(model.named_parameters())
    merge_adapters(model, [(build_adapter(tmp_path / "adapter", base), 1.0)])
    assert all(parameter is before[name] for name, parameter in model.named_parameters())


def test_an_adapter_for_modules_that_are_not_there_is_named(tmp_path: Path, base: Path) -> None:
    other = build_model(tmp_path / "other", "gpt2")
    adapter = build_adapter(tmp_path / "adapter", other, target_modules=["c_attn"])
    with pytest.raises(ModelError, match="it wants c_attn, and there is no such module"):
        logits(base, (adapter, 1.0))


def ask(base: Path, *adapters: tuple[Path, float], **source: Any) -> tuple[str, Done]:
    options = EngineOptions(device="cpu", dtype="float32", adapters=adapters)
    engine = open_text_engine(ModelSource("tiny", source.pop("kind", "folder"), base, **source), options)
    request = TextRequest(messages=(Message("user", "你好"),), max_new_tokens=12, sampling=Sampling(temperature=0.0), seed=1)
    events = list(engine.stream(request))
    assert isinstance(events[-1], Done)
    assert events[-1].adapters == engine.loaded.adapters
    engine.close()
    return "".join(event.text for event in events if isinstance(event, TextDelta)), events[-1]


def test_the_engine_answers_with_its_adapter_and_names_it(tmp_path: Path, base: Path) -> None:
    adapter = build_adapter(tmp_path / "适配器", base)
    (plain, without), (tuned, done) = ask(base), ask(base, (adapter, 1.0))
    assert plain != tuned
    assert (without.adapters, done.adapters) == (None, (str(adapter),))
    nothing, done = ask(base, (adapter, 0.0))
    assert (nothing, done.adapters) == (plain, (f"{adapter}:0",))


def test_a_model_without_a_template_takes_the_adapters(tmp_path: Path) -> None:
    base = build_model(tmp_path / "base", "llama")
    build_tokenizer(base, chat_template=None)
    (base / "chat_template.jinja").unlink(missing_ok=True)
    adapter = build_adapter(tmp_path / "adapter", base)
    assert ask(base, (adapter, 1.0))[1].mode == "raw"
    build_tokenizer(adapter)
    assert ask(base, (adapter, 1.0))[1].mode == "chat"
    assert ask(base, (adapter, 1.0), mode="raw")[1].mode == "raw"

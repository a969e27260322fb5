"""Rows as tokens: what precedes the answer is what the model will be asked with, and the answer alone is learnt."""

from __future__ import annotations

from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, ByT5Tokenizer

from aigc_cli.backends.prompting import Prompter
from aigc_cli.backends.train.text.encode import Encoded, Encoder
from aigc_cli.core.errors import UsageError
from aigc_cli.core.request import Message, TextRequest
from aigc_cli.core.sample import ChatSample, CompletionSample, Sample, TextSample, Turn
from tests.backends.train.text.chat_templates import CHATML, LLAMA_2, SHAPES, Shape, sentencepiece_like, tokenizer_for

BUILTIN = Path(__file__).parents[4] / "aigc_cli" / "builtin" / "text"


def encoder(tokenizer: Any, **options: Any) -> Encoder:
    return Encoder(tokenizer, **{"mode": "auto", "default_mode": None, "max_length": 512, "train_on": "completion", **options})


def encode(tokenizer: Any, sample: Sample, **options: Any) -> Encoded:
    [encoded] = encoder(tokenizer, **options).encode([sample])
    return encoded


def learnt(tokenizer: Any, encoded: Encoded) -> list[str]:
    runs = [list(run) for is_trained, run in groupby(range(len(encoded.ids)), key=encoded.trained.__getitem__) if is_trained]
    return [tokenizer.decode([encoded.ids[at] for at in run]) for run in runs]


def asked_with(tokenizer: Any, mode: Any, *messages: Message) -> list[int]:
    return Prompter(tokenizer, None, False, None).prompt(TextRequest(messages=messages, mode=mode)).ids


def chat(*turns: tuple[str, str]) -> ChatSample:
    return ChatSample(tuple(Turn(role, text, role == "assistant") for role, text in turns))  # type: ignore[arg-type]


TALKS = [
    chat(("user", "hi"), ("assistant", "A")),
    chat(("user", "你好"), ("assistant", "世界。"), ("user", " bye\n"), ("assistant", "  spaced \n\n")),
    chat(("user", "q"), ("assistant", "same"), ("user", "same"), ("assistant", "same")),
    chat(("user", "q"), ("assistant", "\n\nbegins with line breaks 😀")),
    chat(("user", "q"), ("assistant", "one"), ("assistant", "two")),
]


@pytest.fixture(params=[*SHAPES, "sentencepiece", "without offsets", "builtin", "qwen3"])
def chat_tokenizer(request: pytest.FixtureRequest) -> Any:
    match request.param:
        case "sentencepiece":
            return sentencepiece_like(chat_template=LLAMA_2.template)
        case "without offsets":
            tokenizer = ByT5Tokenizer()
            tokenizer.chat_template = CHATML.template
            return tokenizer
        case "builtin":
            return AutoTokenizer.from_pretrained(BUILTIN)
        case "qwen3":
            return AutoTokenizer.from_pretrained(request.getfixturevalue("data") / "tokenizers" / "qwen3")
        case name:
            return tokenizer_for(SHAPES[name])


@pytest.mark.parametrize("talk", TALKS)
def test_what_precedes_the_first_answer_is_what_chat_will_feed(chat_tokenizer: Any, talk: ChatSample) -> None:
    encoded = encode(chat_tokenizer, talk)
    asked = [Message(turn.role, turn.content) for turn in talk.turns[:1]]
    assert encoded.ids[: encoded.trained.index(True)] == asked_with(chat_tokenizer, "chat", *asked)


@pytest.mark.parametrize("name", SHAPES)
def test_answers_are_learnt_with_their_end_and_nothing_else(name: str) -> None:
    shape = SHAPES[name]
    tokenizer = tokenizer_for(shape)
    assert learnt(tokenizer, encode(tokenizer, chat(("user", "q"), ("assistant", "A")))) == [shape.answer]
    several = encode(tokenizer, chat(("user", "A"), ("assistant", "A"), ("user", "A"), ("assistant", "世界")))
    assert learnt(tokenizer, several) == [shape.answer, shape.answer.replace("A", "世界")]


def test_qwen3_learns_the_thoughts_that_its_template_keeps(data: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(data / "tokenizers" / "qwen3")
    plain = encode(tokenizer, chat(("user", "q"), ("assistant", "甲"), ("user", "r"), ("assistant", "乙")))
    assert learnt(tokenizer, plain) == ["甲<|im_end|>", "<think>\n\n</think>\n\n乙<|im_end|>"]
    thought = "<think>\n嗯\n</think>\n\n"
    thinks = encode(tokenizer, chat(("user", "q"), ("assistant", thought + "甲"), ("user", "r"), ("assistant", thought + "乙")))
    assert learnt(tokenizer, thinks) == ["甲<|im_end|>", thought + "乙<|im_end|>"]


@pytest.mark.parametrize("shape", [CHATML, SHAPES["marked"]])
def test_a_turn_that_is_not_trained_is_context_alone(shape: Shape) -> None:
    tokenizer = tokenizer_for(shape)
    turns = (Turn("user", "q", False), Turn("assistant", "no", False), Turn("user", "r", False), Turn("assistant", "yes", True))
    encoded = encode(tokenizer, ChatSample((*turns, Turn("user", "never answered", False))))
    assert learnt(tokenizer, encoded) == ["yes<|im_end|>"]
    assert "no<|im_end|>" in tokenizer.decode(encoded.ids)
    assert "never" not in tokenizer.decode(encoded.ids)


@pytest.mark.parametrize(
    ("prompt", "completion"),
    [
        ("Q: ", "Paris"),  # the space and the word would be one token
        ("Q:", " Paris"),
        ("The qui", "ck brown fox"),
        ("a\n\n", "b"),  # alone, the line breaks are one token; before a letter, two
        ("床前明", "月光"),
        ("x", "\n\ny"),
        ("👩", "\u200d💻"),
        ("a  ", " b"),
    ],
)
@pytest.mark.parametrize("kind", ["bytes", "sentencepiece", "without offsets", "builtin"])
def test_a_raw_prompt_has_the_tokens_that_complete_will_feed(kind: str, prompt: str, completion: str) -> None:
    makers = {
        "bytes": lambda: tokenizer_for(CHATML),
        "sentencepiece": sentencepiece_like,
        "without offsets": ByT5Tokenizer,
        "builtin": lambda: AutoTokenizer.from_pretrained(BUILTIN),
    }
    tokenizer = makers[kind]()
    for train_on in ("completion", "all"):
        encoded = encode(tokenizer, CompletionSample(prompt, completion), mode="raw", train_on=train_on)
        fed = asked_with(tokenizer, "raw", Message("user", prompt))
        assert encoded.ids[: len(fed)] == fed
        assert encoded.ids[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(encoded.ids, skip_special_tokens=True).strip() == (prompt + completion).strip()
    border = encode(tokenizer, CompletionSample(prompt, completion), mode="raw").trained.index(True)
    assert border == len(fed)


def test_text_is_learnt_whole_but_for_its_first_token() -> None:
    tokenizer = sentencepiece_like()
    encoded = encode(tokenizer, TextSample("A cat"))
    assert encoded.ids == [*tokenizer("A cat").input_ids, tokenizer.eos_token_id]
    assert encoded.trained == [False, *[True] * (len(encoded.ids) - 1)]


def test_a_model_without_template_learns_the_plain_transcript_that_chat_gives_it() -> None:
    tokenizer = sentencepiece_like()
    encoded = encode(tokenizer, chat(("user", "q"), ("assistant", " one "), ("user", "r: s"), ("assistant", "two")))
    assert learnt(tokenizer, encoded) == ["one\n\nUser:", "two</s>"]
    first = encoded.trained.index(True)
    assert encoded.ids[:first] == asked_with(tokenizer, "chat", Message("user", "q"))


def test_all_trains_everything_but_what_a_row_excludes() -> None:
    tokenizer = tokenizer_for(CHATML)
    turns = (Turn("user", "q", False), Turn("assistant", "no", False), Turn("user", "r", False), Turn("assistant", "yes", True))
    encoded = encode(tokenizer, ChatSample(turns), train_on="all")
    assert [text.count("no") for text in learnt(tokenizer, encoded)] == [0, 0]
    assert sum(encoded.trained) == len(encoded.ids) - 1 - len(tokenizer("no<|im_end|>").input_ids)
    raw = encode(tokenizer, CompletionSample("the dog", " sleeps"), mode="raw", train_on="all")
    assert raw.trained == [False, *[True] * (len(raw.ids) - 1)]


def test_a_long_row_is_cut_and_says_how_long_it_was() -> None:
    tokenizer = tokenizer_for(CHATML)
    sample = CompletionSample("the dog", " sleeps" * 40)
    whole = encode(tokenizer, sample, mode="raw")
    cut = encode(tokenizer, sample, mode="raw", max_length=10)
    assert (cut.ids, cut.length, whole.length) == (whole.ids[:10], len(whole.ids), len(whole.ids))


@pytest.mark.parametrize("width", [2, 3, 10, 41, 1000])
def test_a_long_text_is_learnt_in_windows_each_token_once(width: int) -> None:
    whole = encode(tokenizer_for(CHATML), TextSample("the dog sleeps " * 20), max_length=10)
    windows = whole.windows(width)
    assert all(len(window.ids) <= width and window.trained[0] is False for window in windows)
    learnt_ids = [token for window in windows for token, trained in zip(window.ids, window.trained, strict=True) if trained]
    assert learnt_ids == whole.ids[1:]
    assert all(later.ids[0] == earlier.ids[-1] for earlier, later in pairwise(windows))


def test_a_row_whose_answer_is_cut_off_is_left_out_with_the_reason() -> None:
    encoded = encode(tokenizer_for(CHATML), chat(("user", "the dog " * 20), ("assistant", "A")), max_length=10)
    assert encoded.ids == []
    assert "10 are kept" in encoded.left_out


def test_a_conversation_that_the_template_refuses_is_left_out_with_its_words() -> None:
    encoded = encode(tokenizer_for(LLAMA_2), chat(("system", "s"), ("user", "q"), ("assistant", "A")))
    assert "no system prompt" in encoded.left_out


BESIDES = ("<end>", "<|im_start|>", "<|im_end|>")  # the text's end and the turn's are two tokens
UNMARKED_END = SHAPES["marked"].template.replace("<|im_end|>{% endgeneration %}", "{% endgeneration %}<|im_end|>")


@pytest.mark.parametrize(
    ("template", "special", "words"),
    [
        (CHATML.template, BESIDES, "does not stop by itself"),
        ("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}", ("<end>",), "puts nothing after an answer"),
        (UNMARKED_END, CHATML.special, "does not mark <|im_end|> as the assistant's"),
        (CHATML.template.replace("assistant\n{% endif", "assistant\n<think>{% endif"), CHATML.special, "'<think>'"),
    ],
)
def test_what_would_keep_the_model_from_stopping_is_said_once(template: str, special: tuple[str, ...], words: str) -> None:
    made = encoder(tokenizer_for(Shape(template, special, "")))
    made.encode([chat(("user", "q"), ("assistant", "A"))] * 3)
    assert len(made.cautions) == 1
    assert words in made.cautions[0]


def test_a_model_that_stops_at_the_end_of_a_turn_gives_no_cause_for_caution() -> None:
    tokenizer = tokenizer_for(Shape(CHATML.template, BESIDES, ""))
    made = encoder(tokenizer, end_ids=[tokenizer.convert_tokens_to_ids("<|im_end|>")])
    made.encode([chat(("user", "q"), ("assistant", "A"))])
    assert made.cautions == []


@pytest.mark.parametrize(
    ("sample", "mode", "has_template", "expected"),
    [
        (TextSample("t"), "auto", True, "raw"),
        (CompletionSample("p", "c"), "auto", True, "chat"),
        (CompletionSample("p", "c"), "auto", False, "raw"),
        (CompletionSample("p", "c", is_instruction=True), "auto", False, "chat"),
        (CompletionSample("p", "c", is_instruction=True), "raw", True, "raw"),
        (chat(("user", "q"), ("assistant", "A")), "auto", False, "chat"),
    ],
)
def test_the_mode_follows_the_data_and_the_model(sample: Sample, mode: Any, has_template: bool, expected: str) -> None:
    made = encoder(tokenizer_for(CHATML) if has_template else sentencepiece_like(), mode=mode)
    made.encode([sample])
    assert made.mode == expected


@pytest.mark.parametrize("order", [1, -1])
def test_what_has_learnt_texts_and_conversations_is_asked_as_in_a_chat(order: int) -> None:
    made = encoder(tokenizer_for(CHATML))
    samples = [TextSample("t"), chat(("user", "q"), ("assistant", "A"))][::order]
    encoded = made.encode(samples)
    assert [made.encode([sample]) for sample in samples] == [[row] for row in encoded]
    assert made.mode == "chat"


@pytest.mark.parametrize(("sample", "mode"), [(TextSample("t"), "chat"), (chat(("user", "q"), ("assistant", "A")), "raw")])
def test_a_mode_that_does_not_suit_the_data_is_refused(sample: Sample, mode: Any) -> None:
    with pytest.raises(UsageError):
        encoder(tokenizer_for(CHATML), mode=mode).encode([sample])


def test_questions_ask_for_what_the_row_answers() -> None:
    made = encoder(tokenizer_for(CHATML))
    talk = chat(("system", "s"), ("user", "q"), ("assistant", "A"), ("user", "r"), ("assistant", "B"))
    question = made.prompt_of(talk)
    assert question is not None
    assert ([message.content for message in question.messages], question.reference) == (["s", "q", "A", "r"], "B")
    assert made.prompt_of(chat(("assistant", "I begin"), ("user", "q"))) is None


@pytest.mark.parametrize("text", ["Once upon a time there was a little girl. " * 40, "床前明月光，疑是地上霜。" * 40, "x"])
def test_a_text_is_asked_for_its_rest(text: str) -> None:
    tokenizer = tokenizer_for(CHATML)
    question = encoder(tokenizer).prompt_of(TextSample(text))
    assert question is not None
    prompt = question.messages[0].content
    assert prompt + question.reference == text
    assert 0 < len(tokenizer(prompt).input_ids) <= 64
    assert not prompt[-1].isspace()

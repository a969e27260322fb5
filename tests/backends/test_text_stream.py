"""Pieces of text: nothing split, nothing lost, nothing shown that must not be."""

from __future__ import annotations

import random

import pytest
import regex

from aigc_cli.backends.text_stream import DeltaBuffer, Detokenizer

TEXTS = [
    "Plain English, with a full stop.",
    "你好，世界！今天天气很好。",
    "family 👨‍👩‍👧‍👦 flags 🇨🇳🇫🇷 wave 👋🏽 heart ❤️",
    "e\u0301 a\u0308o\u0302\u0301 na\u0131\u0308ve",
    "हिन्दी நி 한국어",
    "mixed\r\nlines\n\n  and spaces ",
]


def byte_decode(ids: list[int]) -> str:
    return bytes(ids).decode(errors="replace")


@pytest.mark.parametrize("text", TEXTS)
def test_joined_pieces_of_bytes_equal_the_full_decode(text: str) -> None:
    detokenizer = Detokenizer(byte_decode)
    pieces = [detokenizer.push(byte) for byte in text.encode()]
    assert "".join([*pieces, detokenizer.finish()]) == text
    assert not any("\ufffd" in piece for piece in pieces)


def test_bytes_that_are_no_character_come_out_as_the_full_decode_has_them() -> None:
    ids = [*b"ab", 0xE4, 0xBD, *b"cd", 0xF0, 0x9F]
    detokenizer = Detokenizer(byte_decode)
    assert "".join([*map(detokenizer.push, ids), detokenizer.finish()]) == byte_decode(ids)


def test_context_keeps_the_space_that_a_tokenizer_drops_at_the_start() -> None:
    words = ["▁Once", "▁upon", "▁a", "▁time"]

    def decode(ids: list[int]) -> str:
        return "".join(words[i] for i in ids).replace("▁", " ").removeprefix(" ")

    alone, continuing = Detokenizer(decode), Detokenizer(decode, context=[0, 1])
    assert alone.push(2) == "a"
    assert continuing.push(2) + continuing.push(3) == " a time"


def test_byte_tokens_are_shown_when_the_run_of_them_has_ended() -> None:
    def decode(ids: list[int]) -> str:
        """As SentencePiece's byte fallback: a run of bytes is one text, or as many U+FFFD as it has bytes."""
        text, run = "", b""
        for token in [*ids, 999]:
            if token < 256:
                run += bytes([token])
                continue
            try:
                text += run.decode()
            except UnicodeDecodeError:
                text += "\ufffd" * len(run)
            text, run = text + ("word" if token == 256 else ""), b""
        return text

    for ids in ([10, 0xE4, 256, 256], [256, 10, 10, 256], [0xE4, 0xBD, 0xA0, 256, 0xE4], [10, 0xE4]):
        detokenizer = Detokenizer(decode, byte_ids=frozenset(range(256)))
        assert "".join([*map(detokenizer.push, ids), detokenizer.finish()]) == decode(ids)


def cuts(text: str, seed: int) -> list[str]:
    draw = random.Random(seed)
    ends = sorted(draw.sample(range(1, len(text)), min(len(text) - 1, draw.randint(1, 12)))) if len(text) > 1 else []
    return [text[begin:end] for begin, end in zip([0, *ends], [*ends, len(text)], strict=True)]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("seed", range(20))
def test_no_piece_splits_a_grapheme(text: str, seed: int) -> None:
    buffer = DeltaBuffer()
    pieces = [piece for part in cuts(text, seed) for _, piece in buffer.feed(part)] + [piece for _, piece in buffer.flush()]
    assert "".join(pieces) == text
    boundaries = {match.start() for match in regex.finditer(r"\X", text)}
    position = 0
    for piece in pieces:
        assert position in boundaries
        position += len(piece)


def collect(buffer: DeltaBuffer, parts: list[str]) -> tuple[str, str]:
    pieces = [pair for part in parts for pair in buffer.feed(part)] + buffer.flush()
    return tuple("".join(text for channel, text in pieces if channel == wanted) for wanted in ("text", "reasoning"))  # type: ignore[return-value]


@pytest.mark.parametrize("seed", range(30))
def test_a_stop_string_ends_the_text_wherever_it_is_cut(seed: int) -> None:
    buffer = DeltaBuffer(["User:", "###"])
    text, _ = collect(buffer, cuts("Answer: # one ## two. UserX then\nUser: never shown ###", seed))
    assert text == "Answer: # one ## two. UserX then\n"
    assert buffer.stopped


def test_the_earliest_stop_string_wins_and_the_beginning_of_one_is_shown_when_nothing_follows() -> None:
    assert collect(DeltaBuffer(["xyz", "b"]), ["abc xyz"])[0] == "a"
    assert collect(DeltaBuffer(["END"]), ["the EN"])[0] == "the EN"


@pytest.mark.parametrize("seed", range(30))
def test_thoughts_are_told_from_the_answer(seed: int) -> None:
    parts = cuts("<think>\nHmm, 2 < 3 </thin> so\n</think>\n\nThe answer: <think> is a tag.", seed)
    assert collect(DeltaBuffer(reasoning=True), parts) == ("The answer: <think> is a tag.", "Hmm, 2 < 3 </thin> so\n")


def test_of_stop_strings_that_overlap_the_one_that_ends_first_counts() -> None:
    for parts in (["abcd"], list("abcd"), ["ab", "cd"]):
        assert collect(DeltaBuffer(["abcd", "bc"]), parts)[0] == "a"


def test_many_spaces_before_the_answer_cost_little() -> None:
    buffer = DeltaBuffer(reasoning=True)
    for _ in range(20_000):
        assert buffer.feed(" ") == []
    assert "".join(piece for _, piece in buffer.feed("answer") + buffer.flush()).strip() == "answer"


def test_thoughts_that_the_prompt_opened() -> None:
    assert collect(DeltaBuffer(reasoning=True, in_reasoning=True), ["so it ", "is</th", "ink>Yes"]) == ("Yes", "so it is")


def test_markers_in_raw_text_are_only_text() -> None:
    assert collect(DeltaBuffer(), ["<think>a</think>b"]) == ("<think>a</think>b", "")


def test_a_stop_string_in_the_thoughts_stops_nothing() -> None:
    assert collect(DeltaBuffer(["\n"], reasoning=True), ["<think>a\nb</think>c\nd"]) == ("c", "a\nb")

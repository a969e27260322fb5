"""Chat history: dropping turns, cutting texts, and the plain transcript."""

from __future__ import annotations

import itertools

import pytest

from aigc_cli.core.conversation import PLAIN_STOPS, Fitted, fit_turns, middle_cut, plain_transcript
from aigc_cli.core.errors import ContextOverflowError, ExitStatus
from aigc_cli.core.request import Message


def words(messages: tuple[Message, ...]) -> int:
    return sum(len(message.content.split()) for message in messages)


def talk(turns: int) -> tuple[Message, ...]:
    """A system prompt of 1 word, `turns` turns of 2 + 3 words, and a last question of 2."""
    turn = (Message("user", "a question"), Message("assistant", "a longer answer"))
    return (Message("system", "brief"), *turn * turns, Message("user", "last question"))


def test_what_fits_is_left_alone() -> None:
    assert fit_turns(talk(2), 13, words) == Fitted(talk(2), 13, 0)


def test_whole_turns_are_dropped_oldest_first() -> None:
    fitted = fit_turns(talk(3), 17, words)
    assert fitted == Fitted(talk(2), 13, 5)
    assert fit_turns(talk(3), 12, words) == Fitted(talk(1), 8, 10)


def test_the_system_prompt_and_the_last_message_stay() -> None:
    assert fit_turns(talk(5), 3, words) == Fitted(talk(0), 3, 25)


@pytest.mark.parametrize("messages", [talk(5), talk(0), talk(0)[1:]])
def test_a_last_message_that_does_not_fit_is_an_error_with_the_numbers(messages: tuple[Message, ...]) -> None:
    with pytest.raises(ContextOverflowError, match=r"has [23] tokens .* room for 1") as caught:
        fit_turns(messages, 1, words)
    assert caught.value.status == ExitStatus.CONTEXT


def test_a_hundred_turns_are_counted_a_few_times_only() -> None:
    calls = itertools.count(1)
    fit_turns(talk(100), 50, lambda messages: words(messages) if next(calls) < 12 else pytest.fail("counted too often"))


@pytest.mark.parametrize(("length", "budget", "kept"), [(5, 5, (5, 0)), (9, 5, (3, 2)), (9, 4, (2, 2)), (9, 1, (1, 0))])
def test_a_middle_cut_keeps_both_ends(length: int, budget: int, kept: tuple[int, int]) -> None:
    assert middle_cut(length, budget) == kept


def test_a_middle_cut_to_nothing_is_an_error() -> None:
    with pytest.raises(ContextOverflowError, match="9 tokens"):
        middle_cut(9, 0)


def test_a_plain_transcript_ends_where_the_answer_begins() -> None:
    messages = (Message("system", "Be brief."), Message("user", "你好\n"), Message("assistant", " 你好！"), Message("user", "Why?"))
    assert plain_transcript(messages) == "System: Be brief.\n\nUser: 你好\n\nAssistant: 你好！\n\nUser: Why?\n\nAssistant:"
    assert plain_transcript(messages[:3]).endswith("Assistant: 你好！")


def test_the_stops_cut_a_plain_transcript_before_the_next_turn() -> None:
    written = "你好！\n\nUser: and then"
    assert written[: min(written.find(stop) for stop in PLAIN_STOPS if stop in written)] == "你好！"

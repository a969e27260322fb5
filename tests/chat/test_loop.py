"""A session from the first key to the last."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aigc_cli.chat.session import Session, Turn
from aigc_cli.chat.slash import Outcome
from aigc_cli.core.errors import ContextOverflowError
from aigc_cli.core.events import Caution, Event, ReasoningDelta, TextDelta
from aigc_cli.core.request import Message
from tests.chat.conftest import ALT_ENTER, CTRL_C, CTRL_D, ENTER, Shown
from tests.fake import FakeTextEngine

Talk = Callable[..., Shown]


def stopped_after(*events: Event) -> list[object]:
    """A reply during which the user presses Ctrl-C."""
    return [*events, KeyboardInterrupt()]


def test_a_whole_session(talk: Talk, fake: type[FakeTextEngine]) -> None:
    fake.replies = ["Hello!", "四。"]
    shown = talk("hi", "/system Be brief.", "二加二？", "/tokens", "/exit")
    assert shown.stdout == "Hello!\n四。\n"
    assert shown.stderr == (
        "1 token · 42.0 tokens/s · first after 0.10 s · context 2/2,048\n\n"
        "system prompt: Be brief.\n"
        "1 token · 42.0 tokens/s · first after 0.10 s · context 6/2,048\n\n"
        "4  hi\n"
        "2  二加二？\n"
        "6  in all, of 2,048\n"
    )
    assert fake.requests[-1].messages == (
        Message("system", "Be brief."),
        Message("user", "hi"),
        Message("assistant", "Hello!"),
        Message("user", "二加二？"),
    )
    assert {request.mode for request in fake.requests} == {"chat"}


def test_ctrl_c_keeps_what_was_said_and_the_session(talk: Talk, session: Session, fake: type[FakeTextEngine]) -> None:
    fake.replies = [stopped_after(TextDelta(text="Once upon")), "and on"]
    shown = talk("a story", "go on")
    assert shown.stdout == "Once upon\nand on\n"
    assert "stopped; what was said stays" in shown.stderr
    assert session.turns[0] == Turn("a story", "Once upon", interrupted=True)
    assert fake.requests[1].messages[1] == Message("assistant", "Once upon")


def test_an_answer_stopped_before_its_first_word_gives_the_message_back(talk: Talk, session: Session, fake: type[FakeTextEngine]) -> None:
    fake.replies = [stopped_after(ReasoningDelta(text="hm")), "yes"]
    talk("question", " again")
    assert session.turns == [Turn("question again", "yes")]


def test_an_error_gives_the_message_back_and_the_session_goes_on(talk: Talk, session: Session, fake: type[FakeTextEngine]) -> None:
    fake.replies = ["one", ContextOverflowError("9,000 tokens do not fit into 2,048", "give --truncate"), "two"]
    shown = talk("first", "too long", " no more")
    assert "aigc: 9,000 tokens do not fit into 2,048\n      /set truncate oldest" in shown.stderr
    assert session.turns == [Turn("first", "one"), Turn("too long no more", "two")]


def test_an_error_in_the_middle_of_an_answer_withdraws_it(talk: Talk, session: Session, fake: type[FakeTextEngine]) -> None:
    fake.replies = [[TextDelta(text="half"), RuntimeError("a bug")]]
    shown = talk(keys="hello" + ENTER + CTRL_C + CTRL_D)
    assert "aigc: RuntimeError: a bug" in shown.stderr
    assert session.turns == []


def test_traceback_shows_where_an_error_came_from(talk: Talk, fake: type[FakeTextEngine]) -> None:
    fake.replies = [RuntimeError("a bug")]
    shown = talk(keys="hello" + ENTER + CTRL_C + CTRL_D)
    assert "Traceback" not in shown.stderr
    fake.replies = [RuntimeError("a bug")]
    shown = talk(keys="hello" + ENTER + CTRL_C + CTRL_D, with_traceback=True)
    assert "Traceback" in shown.stderr


@pytest.mark.parametrize(
    ("keys", "asked"),
    [
        ("one" + ALT_ENTER + "two" + ENTER, "one\ntwo"),
        ('"""' + ENTER + "one" + ENTER + "/two" + ENTER + '"""' + ENTER, "one\n/two"),
        ('"""one' + ENTER + 'two"""' + ENTER, "one\ntwo"),
        ("\x1b[200~一\r\n二\n\n三\x1b[201~" + ENTER, "一\n二\n\n三"),
        ("//etc is a folder" + ENTER, "/etc is a folder"),
        ("\x1b[200~/* C\n */\x1b[201~" + ENTER, "/* C\n */"),
        ("\x1b[200~// C++\nint i;\x1b[201~" + ENTER, "// C++\nint i;"),
        ("  padded  " + ENTER, "padded"),
        (CTRL_C + "still here" + ENTER, "still here"),
        ("cleared" + CTRL_C + "kept" + ENTER, "kept"),
    ],
)
def test_keys(talk: Talk, session: Session, keys: str, asked: str) -> None:
    talk(keys=keys + CTRL_D)
    assert [turn.question for turn in session.turns] == [asked]


@pytest.mark.parametrize("keys", [CTRL_D, CTRL_C + CTRL_C, "text" + CTRL_C + CTRL_C, "/exit" + ENTER, "/quit" + ENTER])
def test_leaving(talk: Talk, fake: type[FakeTextEngine], keys: str) -> None:
    talk(keys=keys + "after" + ENTER + CTRL_D)
    assert fake.requests == []


@pytest.mark.parametrize(("impatience", "asked"), [(0.0, 1), (60.0, 2)])
def test_after_a_stopped_answer_ctrl_c_leaves_but_not_at_once(
    talk: Talk, fake: type[FakeTextEngine], monkeypatch: pytest.MonkeyPatch, impatience: float, asked: int
) -> None:
    monkeypatch.setattr("aigc_cli.chat.prompt.IMPATIENCE", impatience)
    fake.replies = [stopped_after(TextDelta(text="half"))]
    talk(keys="one" + ENTER + CTRL_C * 3 + "two" + ENTER + CTRL_D)
    assert len(fake.requests) == asked


def test_an_empty_line_asks_nothing(talk: Talk, fake: type[FakeTextEngine]) -> None:
    talk("", "   ", '""""""')
    assert fake.requests == []


def test_edit_and_retry_replace_the_last_turn(talk: Talk, session: Session, fake: type[FakeTextEngine]) -> None:
    fake.replies = ["a", "b", "c", "d"]
    talk("one", "two", "/retry", "/edit", "!")
    assert session.turns == [Turn("one", "a"), Turn("two!", "d")]
    assert [len(request.messages) for request in fake.requests] == [1, 3, 3, 3]


def test_an_edit_that_is_cleared_changes_nothing(talk: Talk, session: Session, fake: type[FakeTextEngine]) -> None:
    talk(keys="one" + ENTER + "/edit" + ENTER + CTRL_C + "two" + ENTER + CTRL_D)
    assert [turn.question for turn in session.turns] == ["one", "two"]


def test_a_failed_retry_keeps_the_answer(talk: Talk, session: Session, fake: type[FakeTextEngine]) -> None:
    fake.replies = ["a", RuntimeError("no")]
    talk(keys="one" + ENTER + "/retry" + ENTER + CTRL_C + CTRL_D)
    assert session.turns == [Turn("one", "a")]


def test_thoughts_stay_out_of_the_history(talk: Talk, session: Session, fake: type[FakeTextEngine]) -> None:
    fake.replies = [[ReasoningDelta(text="hm"), TextDelta(text="yes")]]
    talk("a")
    assert session.turns == [Turn("a", "yes")]


def test_an_answer_about_thoughts_is_kept_whole(talk: Talk, session: Session, fake: type[FakeTextEngine]) -> None:
    answer = "A template:\n```\n<think>\n{thought}\n</think>\n```\nDone."
    fake.replies = [answer]
    talk("how?")
    assert session.turns == [Turn("how?", answer)]


def test_an_empty_answer_is_said_to_be_one(talk: Talk, session: Session, fake: type[FakeTextEngine]) -> None:
    fake.replies = [[ReasoningDelta(text="hm")]]
    assert "an empty answer" in talk("a").stderr
    assert session.turns == []


def test_a_caution_is_said_once_a_session(talk: Talk, fake: type[FakeTextEngine]) -> None:
    caution = Caution(message="this model has no chat template")
    fake.replies = [[caution, TextDelta(text="a")], [caution, TextDelta(text="b")]]
    assert talk("one", "two").stderr.count("no chat template") == 1


def test_a_draft_comes_first(talk: Talk, session: Session) -> None:
    talk("!", first=Outcome(draft="from a file"))
    assert session.turns[0].question == "from a file!"


def test_history_is_kept_for_the_next_session(talk: Talk, history: Path, session: Session) -> None:
    talk("remember 我")
    session.clear()
    talk(keys="\x1b[A" + ENTER + CTRL_D)
    assert session.turns[0].question == "remember 我"
    assert history.stat().st_mode & 0o777 == 0o600


def test_an_unwritable_home_is_said_once(talk: Talk, history: Path, session: Session) -> None:
    history.parent.write_text("a file where the folder should be")
    shown = talk("one", "two")
    assert shown.stderr.count("not kept for the next time") == 1
    assert len(session.turns) == 2


def test_bytes_that_are_no_text_become_replacement_characters(talk: Talk, session: Session) -> None:
    talk("caf\udce9")
    assert session.turns[0].question == "caf\ufffd"

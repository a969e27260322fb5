"""What a chat looks like on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from aigc_cli.core.events import Done, Event, ReasoningDelta, TextDelta
from aigc_cli.render.chat import render_answer, status_line, write_rows
from aigc_cli.render.output import Output
from aigc_cli.render.width import cells

DONE = Done(finish_reason="stop", prompt_tokens=1200, completion_tokens=34, ttft=0.31, tokens_per_second=45.25)


def drawn(*events: Event, capfd: pytest.CaptureFixture[str], colour: bool = True) -> tuple[str, str]:
    """stdout and stderr of an answer on a terminal."""
    output = Output()
    output.stdout_is_terminal = output.stderr_is_terminal = True
    output.stdout_colour = output.stderr_colour = colour
    assert render_answer([*events, DONE], output) == DONE
    written = capfd.readouterr()
    return written.out, written.err


def test_thoughts_are_dim_and_apart(capfd: pytest.CaptureFixture[str]) -> None:
    out, err = drawn(ReasoningDelta(text="hm"), TextDelta(text="**yes**"), capfd=capfd)
    assert (out, err) == ("\x1b[1myes\x1b[0m\n", "\x1b[2mhm\x1b[0m\n\n")


def test_without_colour_there_is_no_escape(capfd: pytest.CaptureFixture[str]) -> None:
    assert "\x1b" not in "".join(drawn(ReasoningDelta(text="hm"), TextDelta(text="**yes**"), capfd=capfd, colour=False))


@pytest.mark.parametrize("at", range(1, 8))
def test_an_answer_cannot_drive_the_terminal(at: int, capfd: pytest.CaptureFixture[str]) -> None:
    attack = "a\x1b]0;t\x07b\x9b2Jc\u202ed"
    events = [kind(text=part) for kind in (ReasoningDelta, TextDelta) for part in (attack[:at], attack[at:])]
    assert drawn(*events, capfd=capfd, colour=False) == ("abcd\n", "abcd\n\n")


def test_an_escape_that_thoughts_leave_open_does_not_swallow_the_answer(capfd: pytest.CaptureFixture[str]) -> None:
    assert "yes" in drawn(ReasoningDelta(text="hm\x1b]0;"), TextDelta(text="yes"), capfd=capfd)[0]


def test_a_markdown_answer_that_stops_half_way_is_shown_whole(capfd: pytest.CaptureFixture[str]) -> None:
    def stops() -> Iterator[Event]:
        yield TextDelta(text="so **far")
        raise KeyboardInterrupt

    output = Output()
    output.stdout_is_terminal, output.stdout_colour = True, False
    with pytest.raises(KeyboardInterrupt):
        render_answer(stops(), output)
    assert capfd.readouterr().out == "so **far\n"


@pytest.mark.parametrize(
    ("limit", "line"),
    [
        (79, "34 tokens · 45.2 tokens/s · first after 0.31 s · context 1,234/2,048"),
        (60, "34 tokens · 45.2 tokens/s · context 1,234/2,048"),
        (39, "45.2 tokens/s · context 1,234/2,048"),
        (30, "context 1,234/2,048"),
        (10, "context 1,"),
    ],
)
def test_the_status_line_drops_what_does_not_fit(limit: int, line: str) -> None:
    assert status_line(DONE, 2048, limit) == line


def test_the_status_line_says_what_is_known() -> None:
    assert status_line(Done(finish_reason="stop"), None, 80) == ""
    assert status_line(Done(finish_reason="stop", prompt_tokens=3, completion_tokens=1), None, 80) == "1 token · context 4"


@pytest.mark.parametrize("columns", [20, 40, 200])
def test_rows_stay_within_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    written: list[str] = []
    write_rows([("name", "一二三四五六七八九十" * 3), ("longer name", "some words that go on")], written.append)
    lines = "".join(written).splitlines()
    assert max(map(cells, lines)) < columns
    assert "".join("".join(written).split()).count("十") == 3

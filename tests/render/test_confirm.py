"""Questions to whoever sits at the terminal."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace

import pytest

from aigc_cli.render import confirm


class Stream(io.StringIO):
    """A stream that is a terminal, or not."""

    def __init__(self, text: str = "", *, is_terminal: bool = True) -> None:
        super().__init__(text)
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """The process's streams, all at one terminal; behind them there is none unless a test makes one."""
    streams = SimpleNamespace(stdin=Stream(), stderr=Stream())
    monkeypatch.setattr(confirm, "sys", streams)
    monkeypatch.setattr(confirm, "TERMINAL", str(tmp_path / "tty"))
    return streams


@pytest.mark.parametrize("typed", ["y\n", "YES\n", " y \n"])
def test_a_yes_is_one(streams: SimpleNamespace, typed: str) -> None:
    streams.stdin = Stream(typed)
    ask = confirm.terminal_confirm()
    assert ask
    assert ask("删除?") is True
    assert streams.stderr.getvalue() == "删除? [y/N] "


@pytest.mark.parametrize("typed", ["\n", "no\n", "好\n", ""])
def test_anything_else_is_a_no(streams: SimpleNamespace, typed: str) -> None:
    streams.stdin = Stream(typed)
    assert confirm.ask("Delete \x1b[2J?") is False
    assert "\x1b" not in streams.stderr.getvalue()


@pytest.mark.parametrize("stdin", [Stream("y\n", is_terminal=False), None])
def test_what_is_piped_in_is_no_answer(streams: SimpleNamespace, stdin: Stream | None) -> None:
    streams.stdin = stdin
    assert confirm.terminal_confirm() is None
    Path(confirm.TERMINAL).write_text("n\n")
    ask = confirm.terminal_confirm()
    assert ask
    assert ask("Download?") is False


def test_nobody_sees_a_question_on_a_stderr_that_is_no_terminal(streams: SimpleNamespace) -> None:
    streams.stderr.is_terminal = False
    assert confirm.terminal_confirm() is None

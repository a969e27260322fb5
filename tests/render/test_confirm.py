"""Questions to whoever sits at the terminal."""

from __future__ import annotations

import io
import sys
from pathlib import Path

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
def stderr(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stream:
    """A terminal; there is none behind stdin unless a test makes one."""
    stream = Stream()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(confirm, "TERMINAL", str(tmp_path / "tty"))
    return stream


@pytest.mark.parametrize(
    ("typed", "agreed"), [("y\n", True), ("YES\n", True), ("\n", False), ("no\n", False), ("好\n", False), ("", False)]
)
def test_only_a_yes_is_one(stderr: Stream, monkeypatch: pytest.MonkeyPatch, typed: str, agreed: bool) -> None:
    monkeypatch.setattr(sys, "stdin", Stream(typed))
    ask = confirm.terminal_confirm()
    assert ask
    assert ask("删除 \x1b[2J?") is agreed
    assert stderr.getvalue().rstrip("\n").endswith("? [y/N] ")
    assert "\x1b" not in stderr.getvalue()


@pytest.mark.parametrize("stdin", [Stream("y\n", is_terminal=False), None])
def test_what_is_piped_in_is_no_answer(stderr: Stream, monkeypatch: pytest.MonkeyPatch, stdin: Stream | None) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    assert confirm.terminal_confirm() is None
    Path(confirm.TERMINAL).write_text("n\n")
    ask = confirm.terminal_confirm()
    assert ask
    assert ask("Download?") is False


def test_nobody_sees_a_question_on_a_stderr_that_is_no_terminal(stderr: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    stderr.is_terminal = False
    monkeypatch.setattr(sys, "stdin", Stream("y\n"))
    assert confirm.terminal_confirm() is None

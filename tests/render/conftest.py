"""A terminal of the tests' own."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from aigc_cli.render.output import Output


class Stream(io.TextIOWrapper):
    """Remembers what was written, and says whether it is a terminal."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal

    @property
    def text(self) -> str:
        return self.buffer.getvalue().decode()  # type: ignore[attr-defined]


@dataclass
class Screen:
    """An Output and where it went."""

    output: Output
    stdout: Stream
    stderr: Stream


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Screen]:
    """Opens an Output over streams of which `terminal` names those that are a terminal."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")

    def open_screen(*, terminal: str = "", **options: bool) -> Screen:
        stdout, stderr = Stream(is_terminal="stdout" in terminal), Stream(is_terminal="stderr" in terminal)
        monkeypatch.setattr(sys, "stdout", stdout)
        monkeypatch.setattr(sys, "stderr", stderr)
        return Screen(Output(**options), stdout, stderr)

    return open_screen

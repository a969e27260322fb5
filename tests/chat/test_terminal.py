"""The session on a real terminal: what is drawn, signals, and how the terminal is left."""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Result

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")

ROOT = Path(__file__).parents[2]
PATIENCE = 20  # seconds
CONTROLS = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[^\[]|\r")
CUT = re.compile(r"(\x1b(\[[0-9;?]*)?)?\Z")  # the beginning of one, at the end of what was read


class Terminal:
    """A command on a pseudo-terminal."""

    def __init__(self, pause: float, *args: str, columns: int = 80) -> None:
        self.screen, self.cut = "", ""
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.process, self.master = pty.fork()
        if self.process == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            environ = {**os.environ, "PYTHONPATH": str(ROOT), "PROMPT_TOOLKIT_NO_CPR": "1", "TERM": "xterm"}
            os.execve(sys.executable, [sys.executable, "-m", "tests.chat.scripted", str(pause), *args], environ)
        self.modes = self.read_modes()

    def read_modes(self) -> int:
        """Whether the terminal echoes, edits lines and knows Ctrl-C."""
        flags: int = termios.tcgetattr(self.master)[3]
        return flags & (termios.ECHO | termios.ICANON | termios.ISIG)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def wait_for(self, text: str) -> None:
        """Reads until the text has been drawn since the last wait."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.screen:
            assert time.monotonic() < deadline, f"no {text!r} in {self.screen!r}"
            assert self._read(), f"no {text!r} but the end after {self.screen!r}"
        self.screen = self.screen.partition(text)[2]

    def status(self) -> int:
        """Waits for the end."""
        deadline = time.monotonic() + PATIENCE
        while self._read():
            assert time.monotonic() < deadline, f"no end after {self.screen!r}"
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])

    def _read(self) -> bool:
        """What has been drawn. False when the other side was closed."""
        if select.select([self.master], [], [], 0.1)[0]:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return False
            drawn = self.cut + self.decoder.decode(data)
            self.cut = CUT.search(drawn)[0]  # type: ignore[index] - it matches nothing, too
            self.screen += CONTROLS.sub("", drawn.removesuffix(self.cut))
            return bool(data)
        return True


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*args: str, pause: float = 0, columns: int = 80) -> Terminal:
        opened.append(Terminal(pause, "chat", *args, columns=columns))
        return opened[-1]

    yield start
    for each in opened:
        os.close(each.master)


def test_a_session(terminal: Callable[..., Terminal]) -> None:
    screen = terminal(columns=40)
    screen.wait_for("This is builtin:text")
    screen.wait_for("lists the commands")
    screen.type("**你好** there\r")
    screen.wait_for("你好 there\n")  # rendered
    screen.wait_for("42.0 tokens/s · context 4/2,048\n")  # as much as 40 columns hold
    screen.type("/exit\r")
    assert screen.status() == 0
    assert "Traceback" not in screen.screen


def test_a_remote_model_is_not_asked_for_what_stands_for_local_ones(
    terminal: Callable[..., Terminal], run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("models", "alias", "far", "openai:gpt-5")
    monkeypatch.setenv("AIGC_TOP_K", "20")
    monkeypatch.setenv("AIGC_TEMPERATURE", "0.4")
    screen = terminal("-m", "some-model")
    screen.wait_for("\n>")
    screen.type("/set top-k\r")
    screen.wait_for("top_k 20")
    screen.type("/model far\r")
    screen.wait_for("far on cpu")
    screen.type("/set top-k\r")
    screen.wait_for("top_k (the default)")
    screen.type("/set temperature\r")
    screen.wait_for("temperature 0.4")
    screen.type("\x04")
    assert screen.status() == 0


def test_ctrl_c_stops_the_answer_only(terminal: Callable[..., Terminal]) -> None:
    screen = terminal("-m", "some-model", pause=0.6)  # long enough to be stopped on a busy machine
    screen.wait_for("\n>")
    screen.type("one two three four five six seven eight nine ten\r")
    screen.wait_for("ten\n")  # what was typed
    screen.wait_for("two")
    screen.type("\x03\x03\x03")  # an impatient user
    screen.wait_for("stopped; what was said stays")
    screen.type("again\r")
    screen.wait_for("again\n")
    screen.type("typed ahead\r\x04")
    screen.wait_for("typed ahead")
    assert screen.status() == 0
    assert "typed ahead\n" in screen.screen  # the answer to it


@pytest.mark.parametrize("is_answering", [False, True])
def test_sigterm_leaves_the_terminal_as_it_was(terminal: Callable[..., Terminal], is_answering: bool) -> None:
    screen = terminal(pause=0.2)
    modes = screen.modes
    screen.wait_for("\n>")
    if is_answering:
        screen.type("one two three four five\r")
        screen.wait_for("five\n")
        screen.wait_for("two")
    assert screen.read_modes() != modes
    os.kill(screen.process, signal.SIGTERM)
    time.sleep(0.3)
    after = screen.read_modes()
    assert screen.status() == 143
    assert after == modes
    assert "Traceback" not in screen.screen


def test_a_single_reply_ends_with_its_figures(terminal: Callable[..., Terminal]) -> None:
    screen = terminal("-m", "some-model", "**你好** there")
    assert screen.status() == 0
    assert screen.screen == "你好 there\n2 tokens · 42.0 tokens/s · seed 7\n"
    screen = terminal("-m", "some-model", "-q", "word")
    assert screen.status() == 0
    assert screen.screen == "word\n"


def test_ctrl_c_while_a_single_reply_streams_is_130(terminal: Callable[..., Terminal]) -> None:
    screen = terminal("-m", "some-model", "one two three four five", pause=0.2)
    screen.wait_for("two")
    screen.type("\x03")
    assert screen.status() == 130
    assert "Traceback" not in screen.screen

"""A session over the scripted engine, its keys from a pipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from aigc_cli.chat.loop import converse
from aigc_cli.chat.prompt import LineEditor
from aigc_cli.chat.session import Session
from aigc_cli.chat.slash import Outcome
from aigc_cli.core.engine import EngineOptions, ModelSource
from aigc_cli.core.errors import ModelError
from aigc_cli.render.chat import ChatView
from aigc_cli.render.output import Output
from tests.fake import FakeTextEngine

CTRL_C, CTRL_D, ENTER, ALT_ENTER = "\x03", "\x04", "\r", "\x1b\r"


def open_fake(name: str) -> FakeTextEngine:
    if name == "nowhere":
        raise ModelError("there is no model 'nowhere'", "aigc models list")
    return FakeTextEngine(ModelSource(name=name, kind="folder"), EngineOptions())


@pytest.fixture
def session(fake: type[FakeTextEngine]) -> Session:
    return Session(open_fake("fake"), lambda name: (open_fake(name), {}))


@dataclass
class Shown:
    """What a session wrote: answers and remarks."""

    stdout: str
    stderr: str


@pytest.fixture
def history(tmp_path: Path) -> Path:
    return tmp_path / "data" / "chat_history"


@pytest.fixture
def talk(session: Session, history: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Shown]:
    """Types into a session until it ends: `talk("hello", "/undo")` presses Enter after each and Ctrl-D at the end."""

    def call(*lines: str, keys: str = "", first: Outcome | None = None, **view: bool) -> Shown:
        typed = "".join(line + ENTER for line in lines) + (keys or CTRL_D)
        capfd.readouterr()
        output = Output()
        with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
            pipe.send_bytes(typed.encode("utf-8", "surrogateescape"))
            converse(session, LineEditor(history, output.note), ChatView(output, **view), first or Outcome())
        return Shown(*capfd.readouterr())

    return call

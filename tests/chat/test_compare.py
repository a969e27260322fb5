"""/ab: base and tuned answer the same message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aigc_cli.chat.session import Session, Turn
from aigc_cli.core.engine import EngineOptions, ModelSource
from tests.chat.conftest import Shown, open_fake
from tests.fake import FakeTextEngine

Talk = Callable[..., Shown]


@pytest.fixture
def tuned(fake: type[FakeTextEngine]) -> Session:
    engine = fake(ModelSource("fake", "folder"), EngineOptions(adapters=((Path("mine"), 1.0),)))
    return Session(engine, lambda name: (open_fake(name), {}), open_base=lambda: open_fake("fake"))


@pytest.fixture
def session(tuned: Session) -> Session:
    return tuned


def test_the_last_message_is_answered_by_both_and_nothing_changes(talk: Talk, session: Session, fake: type[FakeTextEngine]) -> None:
    fake.replies = ["第一", "from the base", "from the tuned"]
    shown = talk("你好", "/ab")
    assert shown.stdout == "第一\nfrom the base\nfrom the tuned\n"
    assert shown.stderr.index("base: fake") < shown.stderr.index("tuned: mine")
    assert session.turns == [Turn("你好", "第一")]
    assert [len(request.messages) for request in fake.requests] == [1, 1, 1]
    assert fake.requests[1] == fake.requests[2]
    assert fake.requests[1].seed is not None


def test_a_message_of_its_own_comes_after_the_conversation(talk: Talk, session: Session, fake: type[FakeTextEngine]) -> None:
    talk("one", "/set seed 5", "/ab two", "/ab three")
    assert [message.content for message in fake.requests[-1].messages] == ["one", "one", "three"]
    assert {request.seed for request in fake.requests[1:]} == {5}
    assert len(session.turns) == 1
    assert len(fake.sources) == 2  # the base was opened once


def test_a_base_that_fails_to_load_leaves_the_session(talk: Talk, session: Session) -> None:
    session.open_base = lambda: open_fake("nowhere")
    shown = talk("hi", "/ab", "still here")
    assert "there is no model 'nowhere'" in shown.stderr
    assert shown.stdout == "hi\nstill here\n"


def test_nothing_to_compare(talk: Talk, session: Session) -> None:
    assert "nothing has been asked yet" in talk("/ab").stderr
    session.open_base = None
    shown = talk("/ab hello").stderr
    assert "there is no adapter" in shown
    assert "aigc chat -m MODEL --adapter PATH" in shown


def test_another_model_comes_without_the_adapter(talk: Talk, session: Session, fake: type[FakeTextEngine]) -> None:
    shown = talk("/show", "/ab hi", "/model other", "/ab hi", "/show").stderr
    assert "adapter  mine" in shown
    assert "other on cpu in float32, without the adapter" in shown
    assert "there is no adapter" in shown
    assert fake.closed == 2

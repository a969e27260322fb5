"""What every text engine keeps to, whatever is behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import regex

from aigc_cli.backends import open_text_engine
from aigc_cli.core.engine import EngineOptions, ModelSource, TextEngine
from aigc_cli.core.events import Done, Event, Loaded, TextDelta
from aigc_cli.core.request import Message, Sampling, TextRequest
from tests.backends.tiny_models import build_model, build_scripted_model
from tests.fake import FakeTextEngine
from tests.openai_server import OpenAIServer, says

TEXT = "你好 👩‍💻 e\u0301."
PROMPT = "Say something:"


@dataclass
class Subject:
    """An engine under test.

    open: opens it.  script: makes the next reply TEXT, from another engine of its kind where need be.
    counts: whether it makes tokens, so that seeds and lengths mean something.
    """

    open: Callable[[], TextEngine]
    script: Callable[[], TextEngine]
    counts: bool = True


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("contract")
    return {"random": build_model(folder / "random", "llama"), "scripted": build_scripted_model(folder / "scripted", TEXT)}


def fake_subject(request: pytest.FixtureRequest) -> Subject:
    fake: type[FakeTextEngine] = request.getfixturevalue("fake")

    def script() -> TextEngine:
        fake.replies = [TEXT]
        return engine()

    def engine() -> TextEngine:
        return fake(ModelSource("fake", "folder"), EngineOptions())

    return Subject(engine, script, counts=False)


def openai_subject(request: pytest.FixtureRequest) -> Subject:
    server: OpenAIServer = request.getfixturevalue("server")

    def engine() -> TextEngine:
        return open_text_engine(ModelSource("openai:test", "openai"), EngineOptions(base_url=server.url))

    def script() -> TextEngine:
        server.answers = [says(*TEXT, prompt_tokens=3, completion_tokens=len(TEXT))]  # a code point at a time
        return engine()

    return Subject(engine, script)


def torch_subject(request: pytest.FixtureRequest) -> Subject:
    folders: dict[str, Path] = request.getfixturevalue("tiny_models")

    def engine(name: str = "random") -> TextEngine:
        return open_text_engine(ModelSource("tiny", "folder", folders[name]), EngineOptions(device="cpu", dtype="float32"))

    return Subject(engine, lambda: engine("scripted"))


SUBJECTS = {"fake": fake_subject, "openai": openai_subject, "torch": torch_subject}


@pytest.fixture(params=SUBJECTS)
def subject(request: pytest.FixtureRequest) -> Subject:
    return SUBJECTS[request.param](request)


@pytest.fixture
def engine(subject: Subject) -> Iterator[TextEngine]:
    engine = subject.open()
    yield engine
    engine.close()


def ask(**options: Any) -> TextRequest:
    defaults = {"messages": (Message("user", PROMPT),), "mode": "raw", "max_new_tokens": 16, "seed": 7}
    return TextRequest(**{**defaults, "sampling": Sampling(temperature=1.0), **options})


def texts(events: list[Event]) -> dict[int, str]:
    joined: dict[int, str] = {}
    for event in events:
        if isinstance(event, TextDelta):
            joined[event.index] = joined.get(event.index, "") + event.text
    return joined


def done(events: list[Event]) -> Done:
    assert isinstance(events[-1], Done)
    return events[-1]


def test_it_says_what_is_loaded(engine: TextEngine) -> None:
    assert isinstance(engine.loaded, Loaded)
    assert engine.loaded.model
    assert engine.loaded.device
    assert engine.loaded.seconds >= 0


@pytest.mark.parametrize("mode", ["raw", "chat"])
def test_joined_deltas_are_the_whole_text(subject: Subject, mode: str) -> None:
    engine = subject.script()
    events = list(engine.stream(ask(mode=mode, max_new_tokens=32)))
    assert texts(events) == {0: TEXT}
    assert done(events).finish_reason == "stop"
    assert done(events).mode == mode
    engine.close()


def test_no_delta_is_empty_or_splits_a_character(subject: Subject, engine: TextEngine) -> None:
    scripted = subject.script()
    for events in (list(scripted.stream(ask(max_new_tokens=32))), list(engine.stream(ask(max_new_tokens=32)))):
        pieces = [event.text for event in events if isinstance(event, TextDelta)]
        assert all(pieces)
        whole = regex.findall(r"\X", "".join(pieces))
        assert [part for piece in pieces for part in regex.findall(r"\X", piece)] == whole
    scripted.close()


def test_one_done_ends_the_stream(engine: TextEngine) -> None:
    events = list(engine.stream(ask(n=2)))
    assert [isinstance(event, Done) for event in events] == [False] * (len(events) - 1) + [True]


def test_the_same_seed_gives_the_same_text(engine: TextEngine) -> None:
    first, second = (texts(list(engine.stream(ask(n=2)))) for _ in range(2))
    assert first == second
    assert set(first) == {0, 1}


def test_another_seed_gives_another_text(subject: Subject, engine: TextEngine) -> None:
    if not subject.counts:
        pytest.skip("draws nothing")
    assert len({texts(list(engine.stream(ask(seed=seed))))[0] for seed in range(4)}) > 1


def test_a_seed_is_reported(engine: TextEngine) -> None:
    assert done(list(engine.stream(ask(seed=7)))).seed == 7
    assert done(list(engine.stream(ask(seed=None)))).seed is not None


@pytest.mark.parametrize("limit", [1, 5])
def test_max_new_tokens_is_kept(subject: Subject, engine: TextEngine, limit: int) -> None:
    if not subject.counts:
        pytest.skip("says whole replies")
    end = done(list(engine.stream(ask(max_new_tokens=limit, sampling=Sampling(temperature=0.0)))))
    assert (end.finish_reason, end.completion_tokens) == ("length", limit)


def test_done_is_sane(engine: TextEngine) -> None:
    events = list(engine.stream(ask()))
    end = done(events)
    assert end.finish_reason in ("stop", "length")
    assert end.prompt_tokens is not None
    assert end.prompt_tokens > 0
    assert end.completion_tokens is not None
    assert end.completion_tokens > 0
    assert end.ttft is not None
    assert 0 < end.ttft <= end.seconds
    assert end.tokens_per_second is None or end.tokens_per_second > 0
    assert (end.model, end.device, end.dtype) == (engine.loaded.model, engine.loaded.device, engine.loaded.dtype)
    assert end.mode == "raw"


def test_time_does_not_run_backwards(engine: TextEngine) -> None:
    times = [event.t for event in engine.stream(ask(n=2))]
    assert times == sorted(times)
    assert times[0] >= 0


def test_a_stop_string_ends_the_text_and_is_not_shown(subject: Subject) -> None:
    if not subject.counts:
        pytest.skip("says whole replies")
    engine = subject.script()
    events = list(engine.stream(ask(stop=("👩‍💻 e",), max_new_tokens=32)))
    assert texts(events) == {0: "你好 "}
    assert done(events).finish_reason == "stop"
    engine.close()


def test_closing_the_iterator_stops_the_work_and_leaves_the_engine_fit(engine: TextEngine) -> None:
    whole = texts(list(engine.stream(ask(max_new_tokens=32))))
    stream = engine.stream(ask(max_new_tokens=32))
    next(event for event in stream if isinstance(event, TextDelta))
    stream.close()  # type: ignore[attr-defined]
    assert list(stream) == []
    assert texts(list(engine.stream(ask(max_new_tokens=32)))) == whole


def test_several_requests_in_a_row_do_not_touch_each_other(engine: TextEngine) -> None:
    conversation = (Message("user", PROMPT), Message("assistant", "Yes."), Message("user", "再说一次"))
    alone = texts(list(engine.stream(ask(messages=conversation, mode="chat"))))
    list(engine.stream(ask(seed=1)))
    assert texts(list(engine.stream(ask(messages=conversation, mode="chat")))) == alone


def test_tokens_are_counted_or_not_known(engine: TextEngine) -> None:
    counts = [engine.count_tokens((Message("user", "word " * length),)) for length in (1, 20)]
    assert counts == [None, None] or counts[0] < counts[1]  # type: ignore[operator]


def test_an_engine_closes_unused_and_in_the_middle_of_a_reply(subject: Subject) -> None:
    subject.open().close()
    engine = subject.open()
    stream = engine.stream(ask())
    next(stream)
    engine.close()
    stream.close()  # type: ignore[attr-defined]

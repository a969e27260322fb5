"""Each slash command."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from aigc_cli.chat.session import Session, Turn
from aigc_cli.chat.slash import COMMANDS
from aigc_cli.core.request import Sampling
from tests.chat.conftest import ALT_ENTER, Shown, open_fake
from tests.fake import FakeTextEngine

Talk = Callable[..., Shown]


def test_help_names_every_command(talk: Talk) -> None:
    shown = talk("/help").stderr
    assert all(f"/{name}" in shown for name in COMMANDS)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("/hlep", "there is no /hlep: did you mean /help?"),
        ("/usr/bin/env?", "is sent with two: //"),
        ("/load", "/load wants FILE"),
        ("/clear now", "/clear takes nothing after it"),
        ("/undo", "nothing has been asked yet"),
        ("/retry", "nothing has been asked yet"),
        ("/edit", "nothing has been asked yet"),
        ("/stats", "nothing has been answered yet"),
        ("/save", "/save wants FILE"),
        ("/load nothing.json", "nothing.json: no such file"),
        ("/file .", ". is a folder, not a file"),
        ("/set warmth 3", "there is no option 'warmth'"),
        ("/set temprature 3", "there is: temperature"),
        ("/set temperature hot", "temperature must be a number, not 'hot'"),
        ("/set temperature -1", "--temperature must be at least 0"),
        ("/set top-k 2.5", "top_k must be a whole number"),
        ("/set truncate newest", "truncate must be oldest or middle"),
        ("/set stop 'a", "stop must be text, in quotes"),
    ],
)
def test_what_is_wrong_is_said_and_the_session_goes_on(talk: Talk, fake: type[FakeTextEngine], typed: str, said: str) -> None:
    shown = talk(typed, "still here")
    assert said in shown.stderr
    assert shown.stdout == "still here\n"


def test_set_takes_options_by_their_flags_names(talk: Talk, fake: type[FakeTextEngine]) -> None:
    talk(
        "/set temperature 0.2", "/set --top-k 5", "/set stop 'the end' 完", "/set seed 3", "/set seed default", "/set truncate oldest", "hi"
    )
    request = fake.requests[0]
    assert (request.sampling.temperature, request.sampling.top_k, request.stop) == (0.2, 5, ("the end", "完"))
    assert (request.seed, request.truncate) == (None, "oldest")


def test_an_option_that_is_refused_leaves_the_others(talk: Talk, session: Session) -> None:
    shown = talk("/set temperature 0.2", "/set temperature 1e9", "/set temperature")
    assert session.parameters == {"temperature": 0.2}
    assert shown.stderr.endswith("temperature 0.2\n")


def test_system_is_set_shown_and_removed(talk: Talk, session: Session) -> None:
    shown = talk("/system 用中文回答", "/system", "/system -", "/system")
    assert shown.stderr == "system prompt: 用中文回答\n" * 2 + "no system prompt\n" * 2
    assert session.system is None


def test_a_system_prompt_of_several_lines(talk: Talk, session: Session) -> None:
    talk("/system one" + ALT_ENTER + "two")
    assert session.system == "one\ntwo"


def test_show(talk: Talk, session: Session, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("some text")
    shown = talk("/set top-p 0.5", f"/file {note}", "/show").stderr
    for line in (
        "model     fake",
        "device    cpu in float32",
        "context   2,048 tokens",
        "system    (none)",
        "top_p     0.5",
        "attached  some text",
    ):
        assert line in shown


def test_undo_and_clear(talk: Talk, session: Session) -> None:
    assert "taken back: two" in talk("one", "two", "/undo").stderr
    assert session.turns == [Turn("one", "one")]
    talk("/clear")
    assert session.turns == []


def test_model_keeps_the_conversation(talk: Talk, session: Session, fake: type[FakeTextEngine]) -> None:
    shown = talk("one", "/model other", "two")
    assert "other on cpu in float32" in shown.stderr
    assert [source.name for source in fake.sources] == ["fake", "other"]
    assert fake.closed == 1
    assert len(fake.requests[-1].messages) == 3


def test_settings_that_stand_follow_the_model_and_what_was_set_stays(talk: Talk, session: Session, fake: type[FakeTextEngine]) -> None:
    session.standing = {"top_k": 20, "temperature": 0.4, "max_new_tokens": 50}
    session.open_model = lambda name: (open_fake(name), {"temperature": 0.4})
    shown = talk("/set temperature 0.9", "/set min-new-tokens 60", "/set top-k", "one", "/model openai:far", "two", "/show")
    assert "--min-new-tokens 60 is more than --max-new-tokens 50" in shown.stderr
    assert "top_k 20\n" in shown.stderr
    assert [request.sampling for request in fake.requests] == [Sampling(top_k=20, temperature=0.9), Sampling(temperature=0.9)]
    assert [request.max_new_tokens for request in fake.requests] == [50, None]
    assert session.parameters == {"temperature": 0.9}


def test_a_model_that_fails_to_load_leaves_the_old_one(talk: Talk, session: Session, fake: type[FakeTextEngine]) -> None:
    shown = talk("/model nowhere", "hi")
    assert "there is no model 'nowhere'" in shown.stderr
    assert shown.stdout == "hi\n"
    assert (session.engine.loaded.model, fake.closed) == ("fake", 0)


def test_a_file_goes_before_the_next_message_only(talk: Talk, session: Session, tmp_path: Path) -> None:
    note = tmp_path / "my 笔记.txt"
    note.write_text("材料\n")
    shown = talk(f"/file '{note}'", "summarise", "again")
    assert "3 characters of" in shown.stderr
    assert [turn.question for turn in session.turns] == ["材料\n\nsummarise", "again"]


def test_a_file_waits_for_an_answer(talk: Talk, session: Session, fake: type[FakeTextEngine], tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("material")
    fake.replies = [RuntimeError("no"), "yes"]
    talk(f"/file {note}", "summarise", " it")
    assert session.attached == []
    assert [turn.question for turn in session.turns] == ["material\n\nsummarise it"]


def test_tokens_of_a_model_that_cannot_count(talk: Talk, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session.engine, "count_tokens", lambda messages: None)
    session.turns = [Turn("a", "b")]
    assert "only the remote end" in talk("/tokens").stderr


def test_stats(talk: Talk) -> None:
    shown = talk("one two", "three", "/stats").stderr
    assert "answers      2, in 1.0 s\nread         7 tokens\nwritten      3 tokens\nspeed        42.0 tokens/s" in shown


def test_save_and_load(talk: Talk, session: Session, tmp_path: Path) -> None:
    file = tmp_path / "my chat.json"
    talk("你好", "/set temperature 0.5", "/system 简短", f"/save {file}", "more", "/save")
    turns = session.turns
    talk("/clear", "/set temperature default", "/system -", f"/load {file}")
    assert (session.turns, session.parameters, session.system) == (turns, {"temperature": 0.5}, "简短")
    assert len(turns) == 2


def test_load_says_which_model_it_was(talk: Talk, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    assert "loaded 1 turn; it was with fake: /model fake" in talk("hi", f"/save {file}", "/model other", f"/load {file}").stderr


def test_save_does_not_write_over_another_file(talk: Talk, tmp_path: Path) -> None:
    file = tmp_path / "notes.md"
    file.write_text("precious")
    assert f"{file} is there already" in talk("hi", f"/save {file}").stderr
    assert file.read_text() == "precious"
    talk(f"/save --overwrite {file}")
    assert "# Chat with fake" in file.read_text()


def test_a_full_disk_leaves_the_old_file(talk: Talk, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.json"
    talk("hi", f"/save {file}")
    before = file.read_bytes()

    def full(descriptor: int) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    shown = talk("more", "/save", "still here")
    assert f"{file}: not saved: no space left on device" in shown.stderr
    assert shown.stdout.endswith("still here\n")
    assert file.read_bytes() == before
    assert list(tmp_path.glob(".aigc*")) == []

"""`aigc chat` with a message or a pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aigc_cli.core.errors import ContextOverflowError
from aigc_cli.core.events import ReasoningDelta, TextDelta
from aigc_cli.core.request import Message
from tests.conftest import Result
from tests.fake import FakeTextEngine

ROOT = Path(__file__).parents[2]
Run = Callable[..., Result]
Fake = type[FakeTextEngine]


def test_one_message_one_reply(run: Run, fake: Fake) -> None:
    fake.replies = ["**Hello** 你好!"]
    result = run("chat", "hi", "-s", "Be brief.")
    assert (result.stdout, result.stderr, result.status) == ("**Hello** 你好!", "", 0)
    assert fake.requests[0].messages == (Message("system", "Be brief."), Message("user", "hi"))
    assert fake.requests[0].mode == "chat"
    assert fake.closed == 1


def test_what_is_piped_in_is_one_message(run: Run, fake: Fake) -> None:
    result = run("chat", input="line one\n\n/exit\n第三行\n")
    assert fake.requests[0].messages == (Message("user", "line one\n\n/exit\n第三行\n"),)
    assert result.stdout == "line one\n\n/exit\n第三行\n"


def test_stdin_files_and_message_are_joined(run: Run, fake: Fake, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("from a file\n")
    run("chat", "instruction", "-f", str(file), input="from stdin\n")
    assert fake.requests[0].messages[0].content == "from stdin\n\nfrom a file\n\ninstruction"


def test_json_gives_events(run: Run, fake: Fake) -> None:
    fake.replies = [[ReasoningDelta(text="hm"), TextDelta(text="yes")]]
    events = run("chat", "hi", "--json").events
    assert [event["event"] for event in events] == ["loaded", "reasoning", "text", "done"]
    assert events[-1]["mode"] == "chat"


def test_thoughts_go_to_stderr(run: Run, fake: Fake) -> None:
    fake.replies = [[ReasoningDelta(text="hm"), TextDelta(text="yes")]]
    result = run("chat", "hi")
    assert (result.stdout, result.stderr) == ("yes", "hm\n")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["hi", "--temperature", "-1"], "--temperature must be"),
        (["hi", "--max-new-tokens", "0"], "--max-new-tokens must be"),
        (["hi", "--truncate", "newest"], "newest"),
        (["hi", "-f", "nothing.txt"], "nothing.txt: no such file"),
        (["hi", "--load", "nothing.json"], "nothing.json: no such file"),
        ([""], "there is no text"),
        (["--temperature", "-1"], "--temperature must be"),
        (["--json"], "--json is for one reply"),
        ([], "needs a terminal to draw on"),
    ],
)
def test_bad_usage_is_refused_before_a_model_is_loaded(run: Run, fake: Fake, args: list[str], said: str) -> None:
    result = run("chat", *args)
    assert result.status == 2
    assert said in result.stderr
    assert fake.sources == []


def test_empty_stdin_is_a_usage_error(run: Run, fake: Fake) -> None:
    result = run("chat", input=" \n")
    assert (result.status, result.stdout) == (2, "")
    assert fake.sources == []


def test_a_message_that_does_not_fit_is_status_6(run: Run, fake: Fake) -> None:
    fake.replies = [ContextOverflowError("too long", "shorten it")]
    result = run("chat", "hi")
    assert (result.status, result.stderr) == (6, "aigc: too long\n      shorten it\n")
    assert fake.closed == 1


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    file = tmp_path / "saved.json"
    messages = [{"role": "system", "content": "old"}, {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    file.write_text(json.dumps({"model": "m", "settings": {"temperature": 0.1, "top_k": 9}, "messages": messages}))
    return file


def test_load_goes_on_with_a_saved_conversation(run: Run, fake: Fake, saved: Path) -> None:
    run("chat", "c", "--load", saved)
    assert [message.content for message in fake.requests[0].messages] == ["old", "a", "b", "c"]
    assert fake.requests[0].sampling.temperature == 0.1


def test_the_command_line_counts_more_than_the_file_and_the_file_more_than_the_settings(
    run: Run, fake: Fake, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TEMPERATURE", "TOP_K", "MAX_NEW_TOKENS"):
        monkeypatch.setenv(f"AIGC_{name}", "1")
    run("chat", "c", "--load", saved, "-s", "new", "--temperature", "0.7")
    request = fake.requests[0]
    assert (request.sampling.temperature, request.sampling.top_k, request.max_new_tokens) == (0.7, 9, 1)
    assert request.messages[0].content == "new"


def test_settings_count(run: Run, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIGC_SYSTEM", "from the environment")
    monkeypatch.setenv("AIGC_TRUNCATE", "oldest")
    run("chat", "hi")
    assert fake.requests[0].truncate == "oldest"
    assert fake.requests[0].messages[0] == Message("system", "from the environment")


def test_one_reply_needs_no_line_editor() -> None:
    block = "import sys; sys.modules['prompt_toolkit'] = None"  # whoever imports it now fails
    script = f"{block}; sys.argv = ['aigc', '0', 'chat', 'hi']; import tests.chat.scripted"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, input=b"", env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert (result.returncode, result.stdout, result.stderr) == (0, b"hi", b"")

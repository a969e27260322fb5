"""Exit statuses, signals and closed pipes: what the process tells the shell."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aigc_cli.core.errors import AigcError, ContextOverflowError, ModelError, OutOfMemoryError
from tests.conftest import Result
from tests.fake import FakeTextEngine

Run = Callable[..., Result]
ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (AigcError("it broke", "mend it"), 1),
        (ModelError("not there", "look"), 3),
        (OutOfMemoryError("too big", "smaller"), 4),
        (MemoryError(), 4),
        (ContextOverflowError("too long", "shorter"), 6),
        (KeyboardInterrupt(), 130),
        (RuntimeError("a bug"), 1),
    ],
)
def test_errors_become_two_lines_and_a_status(run: Run, fake: type[FakeTextEngine], error: BaseException, status: int) -> None:
    fake.replies = [error]
    result = run("complete", "hi", input="")
    assert (result.status, result.stdout) == (status, "")
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) <= 2
    assert fake.closed == 1


def test_json_errors_are_events_too(run: Run, fake: type[FakeTextEngine]) -> None:
    fake.replies = [ContextOverflowError("9 tokens, 8 fit", "shorten it")]
    result = run("complete", "hi", "--json", input="")
    assert result.events[-1] == {"event": "error", "t": 0.0, "message": "9 tokens, 8 fit", "hint": "shorten it", "status": 6}
    assert result.status == 6


def test_a_json_error_stands_where_the_other_events_went(run: Run, fake: type[FakeTextEngine]) -> None:
    fake.replies = [ContextOverflowError("9 tokens, 8 fit", "shorten it")]
    result = run("complete", "hi", "--json", "-o", "events.jsonl", input="")
    assert (result.status, result.stdout) == (6, "")
    events = [json.loads(line) for line in Path("events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["loaded", "error"]


def test_a_traceback_only_when_asked_for(run: Run, fake: type[FakeTextEngine]) -> None:
    fake.replies = [RuntimeError("a bug")]
    assert "Traceback" in run("complete", "hi", "--traceback", input="").stderr


@pytest.mark.parametrize(
    "arguments", [["complete", "--nonsense"], ["nonsense"], ["complete", "--top-k", "many", "x"], ["complete", "a", "b"]]
)
def test_bad_usage_is_2_and_says_where_help_is(run: Run, arguments: list[str]) -> None:
    result = run(*arguments, input="")
    assert result.status == 2
    assert "--help" in result.stderr


def test_no_command_shows_the_help(run: Run) -> None:
    result = run(input=None)
    assert result.status == 2
    assert "complete" in result.stdout + result.stderr


SCRIPTED = """
import sys, time
import aigc_cli.models.resolve
from aigc_cli.backends import ENGINES
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.events import TextDelta
from aigc_cli.__main__ import entry
from tests.fake import FakeTextEngine

def resolve(name, **options):
    yield from ()
    return ModelSource(name=name, kind="folder")

class Slow(FakeTextEngine):
    def stream(self, request):
        for at in range(100000):
            yield TextDelta(text=f"word {at}\\n")
            time.sleep(0.001)

aigc_cli.models.resolve.resolve = resolve
sys.modules["slow"] = type(sys)("slow")
sys.modules["slow"].Slow = Slow
ENGINES["text"]["folder"] = "slow:Slow"
sys.argv = ["aigc", "complete", "hi"]
entry()
"""


def start_slow() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", SCRIPTED]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_at_once_and_keeps_what_was_written(number: signal.Signals, status: int) -> None:
    process = start_slow()
    assert process.stdout is not None
    head = b"".join(process.stdout.readline() for _ in range(3))
    sent = time.monotonic()
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == status
    assert time.monotonic() - sent < 5
    lines = (head + stdout).decode().splitlines()
    assert lines == [f"word {at}" for at in range(len(lines))]
    assert b"Traceback" not in stderr


IMPORTING = """
import os, sys, time
from aigc_cli.signals import leaving_at_once
with leaving_at_once():
    print("importing", flush=True)
    try:
        time.sleep(30)
    except BaseException:
        pass  # as some libraries do
print("went on")
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_libraries_are_imported_cannot_be_swallowed(number: signal.Signals, status: int) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", IMPORTING], stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    assert process.communicate(timeout=30)[0] == b""
    assert process.returncode == status


def test_a_reader_that_leaves_means_141_and_silence() -> None:
    process = start_slow()
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=30) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_closed_stdout_is_no_traceback(own_home: Path) -> None:
    result = subprocess.run(["sh", "-c", f"{sys.executable} -m aigc_cli --version >&-"], capture_output=True, timeout=60, cwd=ROOT)
    assert (result.returncode, result.stderr) == (1, b"aigc: stdout is closed\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_behind_stdout_is_said(own_home: Path) -> None:
    command = f"{sys.executable} -m aigc_cli config list >/dev/full"
    result = subprocess.run(["sh", "-c", command], capture_output=True, timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert (result.returncode, result.stderr) == (1, b"aigc: no space left on device\n")

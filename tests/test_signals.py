"""Signals that wait until work has come to a good end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from aigc_cli.signals import Pending, Terminated, deferred

BOTH = [(signal.SIGINT, KeyboardInterrupt, 130), (signal.SIGTERM, Terminated, 143)]


@pytest.mark.parametrize(("number", "error", "status"), [*BOTH, (signal.SIGHUP, Terminated, 143)])
def test_the_first_signal_is_noted_and_raised_when_asked_for(number: signal.Signals, error: type[BaseException], status: int) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with deferred() as pending:
        assert pending.number is None
        pending.raise_pending()
        signal.raise_signal(number)
        assert pending.number is number
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before
    with pytest.raises(error):
        pending.raise_pending()


def test_another_signal_does_not_hurry_it() -> None:
    with deferred() as pending:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
    assert pending == Pending(signal.SIGTERM)


def test_off_the_main_thread_nothing_happens() -> None:
    seen: list[Pending] = []

    def work() -> None:
        with deferred() as pending:
            seen.append(pending)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [Pending()]


def test_an_ignored_signal_stays_ignored() -> None:
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with deferred() as pending:
            signal.raise_signal(signal.SIGINT)
            assert pending.number is None
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, previous)


TRAINING = """
import time
from aigc_cli.signals import deferred
with deferred() as pending:
    print("training", flush=True)
    while pending.number is None:
        time.sleep(0.01)
    print("saving", flush=True)
    time.sleep(30)
"""


@pytest.mark.parametrize(("number", "error", "status"), BOTH)
def test_the_same_signal_again_leaves_at_once(number: signal.Signals, error: type[BaseException], status: int) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen([sys.executable, "-c", TRAINING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    for line in (b"training\n", b"saving\n"):
        assert process.stdout.readline() == line
        process.send_signal(number)
    _, said = process.communicate(timeout=10)
    assert process.returncode == status
    assert said == (b"aigc: saving; press Ctrl-C again to leave at once\n" if number is signal.SIGINT else b"")


def test_a_terminal_that_goes_says_so_more_than_once_and_the_work_is_still_saved() -> None:
    with deferred() as pending:
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGHUP)
    assert pending == Pending(signal.SIGHUP)

"""Killing a process between any two of its file operations."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

FILE_OPERATIONS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate", "shutil.rmtree"}
KILLED = 77


@pytest.fixture
def each_kill() -> Callable[[Callable[[], Any], Callable[[], Any]], Iterator[int]]:
    """`each_kill(prepare, work)` prepares, does the work in a process that dies before its k-th file operation, and
    yields k, for k = 1, 2, ... until the work comes to its end.

    What Python is about to do to files it announces to audit hooks; only fsync is not among that, and is counted apart.
    """

    def kills(prepare: Callable[[], Any], work: Callable[[], Any]) -> Iterator[int]:
        k, is_done = 0, False
        while not is_done:
            k += 1
            prepare()
            if (child := os.fork()) == 0:
                work_until(work, k)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert status in (0, KILLED)
            is_done = status == 0
            yield k

    return kills


def work_until(work: Callable[[], Any], last: int) -> None:
    done = 0

    def count(name: str, arguments: Any = ()) -> None:
        nonlocal done
        if name in FILE_OPERATIONS or name == "fsync":
            done += 1
            if done == last:
                os._exit(KILLED)

    os.fsync = lambda descriptor: count("fsync")  # a kill, unlike a power cut, loses nothing that was written
    try:
        sys.addaudithook(count)
        work()
        os._exit(0)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB; skips where one may not be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if sys.platform != "linux" or os.system(f"mount -t tmpfs -o size=1m tmpfs '{folder}' 2>/dev/null"):
        pytest.skip("no file system may be mounted here")
    yield folder
    os.system(f"umount '{folder}'")

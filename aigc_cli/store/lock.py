"""One run at a time in a folder."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock

from aigc_cli.core.errors import BusyError, UsageError


@dataclass(frozen=True)
class Lock:
    """Files of a folder. file: what is locked, which stays.  holder: says who has it, for Windows lets nobody read a locked file."""

    file: str
    holder: str


@contextmanager
def held(folder: Path, lock: Lock) -> Iterator[None]:
    """The system itself gives back the lock of a process that died. Raises: BusyError; UsageError for a read-only folder."""
    locked, holder = filelock.FileLock(folder / lock.file), folder / lock.holder
    with writable(folder):
        try:
            locked.acquire(timeout=0)
        except filelock.Timeout:
            raise BusyError(f"another run holds {folder}{who(holder)}", "wait for it to end, or choose another -o") from None
    try:
        with writable(folder):
            holder.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
        yield
    finally:
        with contextlib.suppress(OSError):
            holder.unlink()
        locked.release()


def who(holder: Path) -> str:
    try:
        value = json.loads(holder.read_text())
        where = "" if value["host"] == socket.gethostname() else f" on {value['host']}"
        return f" (process {value['pid']}{where})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""  # it has only just taken the lock


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Raises: UsageError in place of an OSError."""
    try:
        yield
    except OSError as error:
        message = f"{folder} cannot be written: {(error.strerror or str(error)).lower()}"
        raise UsageError(message, "choose another folder after -o") from error


def leave_as_found(folder: Path, lock: Lock, was_there: bool) -> None:
    """After a start that came to nothing: removes the lock, and a folder that was made for it. Other files stay, and the lock then too."""
    with contextlib.suppress(OSError):  # Windows removes no file that is open
        if set(os.listdir(folder)) <= {lock.file, lock.holder}:
            (folder / lock.holder).unlink(missing_ok=True)
            (folder / lock.file).unlink(missing_ok=True)
            if not was_there:
                folder.rmdir()

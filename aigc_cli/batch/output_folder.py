"""The folder that pictures go to: held by one run, and at any moment with whole pictures only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from aigc_cli.batch.manifest import Record, append
from aigc_cli.core.errors import UsageError
from aigc_cli.core.leaving import before_leaving
from aigc_cli.store.durable import sync_folder
from aigc_cli.store.lock import Lock, held, leave_as_found, writable

LOCK = Lock(".images.lock", ".images.holder")
PART = ".aigc-{key}.part"


@contextmanager
def hold_output(folder: Path) -> Iterator[None]:
    """Makes the folder if need be, keeps other runs out, and removes what a killed one left half written.

    A folder that was made for a run which then saves nothing is removed again, with those above it that were made too.
    Raises: BusyError while another process holds it; UsageError when it is a file or cannot be written.
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    if not made and not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder", "name a folder after -o")
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)

    def undo() -> None:
        leave_as_found(folder, LOCK, was_there=not made)
        with contextlib.suppress(OSError):  # not empty
            for parent in made[1:]:
                parent.rmdir()

    with held(folder, LOCK), before_leaving(undo):
        try:
            for part in folder.glob(PART.format(key="*")):
                part.unlink()
            yield
        finally:
            undo()


def save(folder: Path, record: Record, content: bytes) -> None:
    """Puts a picture where its record says. Raises: as put."""
    put(folder / str(record.file), record.key, content, partial(append, folder, record))


def put(target: Path, key: str, content: bytes, write_down: Callable[[], None]) -> None:
    """Makes a picture's file, whole or not at all. key: of the picture, as an open run of its folder has no other.

    It is written down before it gets its name: a kill between the two leaves a record without a file, which does
    not count as done, and never a file that nobody knows. Raises: OSError, with nothing left behind.
    """
    folder = target.parent
    part = folder / PART.format(key=key[:16])
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        write_down()
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(folder)

"""The folder that pictures go to: held by one run, and at any moment with whole pictures only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aigc_cli.batch.manifest import Record, append
from aigc_cli.core.errors import UsageError
from aigc_cli.store.durable import sync_folder
from aigc_cli.store.lock import Lock, held, leave_as_found, writable

LOCK = Lock(".images.lock", ".images.holder")
PART = ".aigc-{key}.part"


@contextmanager
def hold_output(folder: Path) -> Iterator[None]:
    """Makes the folder if need be, keeps other runs out, and removes what a killed one left half written.

    A folder that was made for a run which then saves nothing is removed again.
    Raises: BusyError while another process holds it; UsageError when it is a file or cannot be written.
    """
    was_there = folder.exists()
    if was_there and not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder", "name a folder after -o")
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with held(folder, LOCK):
        try:
            for part in folder.glob(PART.format(key="*")):
                part.unlink()
            yield
        finally:
            leave_as_found(folder, LOCK, was_there)


def save(folder: Path, record: Record, content: bytes) -> None:
    """Puts a picture where its record says, whole or not at all.

    The record is written before the picture gets its name: a kill between the two leaves a record without a file, which does
    not count as done, and never a file that nobody knows. Raises: OSError, with nothing left behind.
    """
    target = folder / str(record.file)
    part = folder / PART.format(key=record.key[:16])
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        append(folder, record)
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(folder)

"""What lies in a folder of the pictures that its manifest tells of."""

from __future__ import annotations

from collections.abc import Container, Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from aigc_cli.batch.manifest import Record
from aigc_cli.core.events import Caution
from aigc_cli.pictures.opening import is_damaged
from aigc_cli.store.manifest import sha256_of


@dataclass(frozen=True)
class Found:
    """What has become of pictures that an earlier run drew, by key. done: those that need not be drawn again.

    damaged: the names of files that hold no whole picture any more.  changed: of pictures that are not as they were written.
    """

    done: dict[str, Record] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    changed: dict[str, str] = field(default_factory=dict)


def find_done(folder: Path, records: Iterable[Record], keys: Container[str]) -> Generator[Caution, None, Found]:
    """Done are those that lie in the folder as they were written, byte for byte; of the others it is said.

    keys: of the pictures that are asked for. One that another has replaced since, under its name, is none of them.
    """
    latest: dict[str, Record] = {}
    holders: dict[str, str] = {}
    for record in records:
        if record.status != "failed" or record.key not in latest:  # a picture that is there is not undone by a try that failed
            latest[record.key] = record
        if record.file:
            holders[record.file] = record.key
    before = {key: each for key, each in latest.items() if key in keys and each.file and holders[each.file] == key}
    there = {key: record for key, record in before.items() if size_of(folder, record) is not None}
    done = {key: record for key, record in there.items() if is_as_written(folder, record)}
    others = {key: str(record.file) for key, record in there.items() if key not in done}
    damaged = {key: name for key, name in others.items() if is_damaged(folder / name)}
    changed = {key: name for key, name in others.items() if key not in damaged}
    for count, what in (
        (len(before) - len(there), "not there any more: drawn again"),
        (len(damaged), "damaged: drawn again in their place"),
        (len(changed), "not as aigc wrote them: drawn again"),
    ):
        if count:
            yield Caution(message=f"{count} of the {len(before)} pictures that were drawn before are {what}")
    return Found(done, damaged, changed)


def pictures_there(folder: Path, records: Iterable[Record]) -> dict[str, Record]:
    """All pictures that lie in the folder with the sizes that they were written with, by name; no more of them is looked at."""
    latest = {record.file: record for record in records if record.file}
    return {name: latest[name] for name in sorted(latest) if size_of(folder, latest[name]) == latest[name].size}


def size_of(folder: Path, record: Record) -> int | None:
    try:
        return (folder / str(record.file)).stat().st_size
    except OSError:
        return None


def is_as_written(folder: Path, record: Record) -> bool:
    if size_of(folder, record) != record.size:
        return False
    try:
        return sha256_of(folder / str(record.file)) == record.sha256
    except OSError:
        return False

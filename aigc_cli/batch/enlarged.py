"""Which pictures a folder holds that were made larger, a line of JSON for each, only ever appended to: by it a later run knows them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from aigc_cli.batch.manifest import append_line, now
from aigc_cli.batch.output_folder import put
from aigc_cli.store.durable import room_wanted
from aigc_cli.store.event_log import lines_of
from aigc_cli.store.manifest import sha256_of

NAME = "upscaled.jsonl"


@dataclass(frozen=True, kw_only=True)
class Enlarged:
    """A picture that was made larger. key: of its source's content and of how it was made.

    file: its name in the folder, with its size (bytes) and sha256.  by: what made it larger.  time: when, in UTC.
    """

    key: str
    source: str
    file: str
    width: int
    height: int
    by: str
    size: int
    sha256: str
    time: str = field(default_factory=now)


FIELDS = {each.name for each in dataclasses.fields(Enlarged)}


def save(folder: Path, key: str, source: Path, name: str, content: bytes, *, size: tuple[int, int], by: str) -> Enlarged:
    """Puts a picture there, whole or not at all. Raises: AigcError for a full disk, with nothing left behind."""
    record = Enlarged(
        key=key,
        source=str(source),
        file=name,
        width=size[0],
        height=size[1],
        by=by,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    line = json.dumps(dataclasses.asdict(record), ensure_ascii=False) + "\n"
    with room_wanted(folder):
        put(folder / name, key, content, partial(append_line, folder / NAME, line.encode("utf-8", "backslashreplace")))
    return record


def read_enlarged(folder: Path) -> dict[str, Enlarged]:
    """The last that was written down of each file, by its name. A line that cannot be read makes its picture one that nobody knows."""
    records = filter(None, map(parsed, lines_of(folder / NAME)))
    return {record.file: record for record in records}


def parsed(line: bytes) -> Enlarged | None:
    try:
        value = json.loads(line)
        return Enlarged(**{name: fact for name, fact in value.items() if name in FIELDS})
    except (ValueError, TypeError, AttributeError):
        return None


def is_as_written(folder: Path, record: Enlarged) -> bool:
    """Whether the picture lies there, byte for byte."""
    try:
        path = folder / record.file
        return path.stat().st_size == record.size and sha256_of(path) == record.sha256
    except OSError:
        return False

"""What came of each picture of a folder, a line of JSON for each, only ever appended to: by it a later run knows what is done."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal

from aigc_cli.batch.plan import Item
from aigc_cli.core.errors import AigcError
from aigc_cli.core.events import Caution
from aigc_cli.store.durable import sync_folder
from aigc_cli.store.event_log import lines_of

NAME = "manifest.jsonl"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, kw_only=True)
class Record:
    """What came of one picture. key: its identity, as the plan has it.

    status: "done" with what lies on disk: file (its name in the folder), size (bytes), sha256, width, height; "failed" with a message;
    "rejected" for one that was drawn and, by its score, not kept.
    base_seed: of the run that drew it, to go on with where none is given.  row, row_seed: as the plan has them.  time: when, in UTC.
    no_metadata: the file does not tell how it was made.
    """

    index: int
    key: str
    status: Literal["done", "failed", "rejected"]
    seed: int
    prompt: str
    file: str | None = None
    width: int | None = None
    height: int | None = None
    score: float | None = None
    message: str | None = None
    origin: str | None = None
    base_seed: int | None = None
    row: str | None = None
    row_seed: int | None = None
    size: int | None = None
    sha256: str | None = None
    no_metadata: bool | None = None
    time: str = field(default_factory=now)

    def to_line(self) -> bytes:
        known = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        return (json.dumps(known, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


STATUSES = ("done", "failed", "rejected")
FIELDS = {each.name for each in dataclasses.fields(Record)}


def drawn(
    item: Item,
    file: str,
    content: bytes,
    *,
    width: int,
    height: int,
    base_seed: int,
    score: float | None = None,
    no_metadata: bool | None = None,
) -> Record:
    """The record of a picture that is to be saved. content: of its file, whole."""
    return Record(
        index=item.index,
        key=item.key,
        status="done",
        seed=item.request.seed,
        prompt=item.request.prompt,
        file=file,
        width=width,
        height=height,
        score=score,
        origin=item.origin or None,
        base_seed=base_seed,
        row=item.row,
        row_seed=item.row_seed,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        no_metadata=no_metadata,
    )


def failed(item: Item, message: str, *, base_seed: int) -> Record:
    """The record of a picture that could not be drawn. The next run tries it again."""
    return without_file(item, "failed", base_seed=base_seed, message=message)


def rejected(item: Item, score: float, *, base_seed: int) -> Record:
    """The record of a picture that is not worth keeping. The next run knows that, and does not draw it again."""
    return without_file(item, "rejected", base_seed=base_seed, score=score)


def without_file(
    item: Item, status: Literal["failed", "rejected"], *, base_seed: int, message: str | None = None, score: float | None = None
) -> Record:
    request = item.request
    return Record(
        index=item.index,
        key=item.key,
        status=status,
        seed=request.seed,
        prompt=request.prompt,
        score=score,
        message=message,
        origin=item.origin or None,
        base_seed=base_seed,
        row=item.row,
        row_seed=item.row_seed,
    )


def append(folder: Path, record: Record) -> None:
    """As append_line."""
    append_line(folder / NAME, record.to_line())


def append_line(path: Path, line: bytes) -> None:
    """Outlasts a power cut once it returns. A line that an earlier kill tore is cut off first. Raises: OSError."""
    is_new = not path.exists()
    with path.open("ab+") as file:
        cut_torn_line(file)
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        sync_folder(path.parent)


def cut_torn_line(file: BinaryIO) -> None:
    end = file.seek(0, os.SEEK_END)
    if not end:
        return
    file.seek(end - 1)
    if file.read(1) != b"\n":
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def read_records(folder: Path) -> Generator[Caution, None, tuple[Record, ...]]:
    """All that was written down, in that order; a last line that was torn is left out, and said.

    Raises: AigcError naming another line that is damaged.
    """
    path = folder / NAME
    records: list[Record] = []
    for number, line in enumerate(lines_of(path), 1):
        if record := parsed(line):
            records.append(record)
        elif line.endswith(b"\n"):
            raise AigcError(f"{path}:{number}: no record of a picture", "the manifest is damaged there: delete that line")
        else:
            yield Caution(message=f"{path}: its last line was cut short by a kill or a power cut and does not count")
    return tuple(records)


def parsed(line: bytes) -> Record | None:
    """None for a line that is torn or damaged. Fields that a later version may have added are passed over."""
    try:
        value = json.loads(line) if line.endswith(b"\n") else None
        record = Record(**{name: field for name, field in value.items() if name in FIELDS}) if isinstance(value, dict) else None
    except (ValueError, TypeError):
        return None
    return record if record and isinstance(record.key, str) and record.status in STATUSES else None


def earlier_seed(records: Sequence[Record]) -> int | None:
    """The base seed of the folder's latest batch: one that was given none goes on with it. A prompt of the command line is no batch."""
    return next((record.base_seed for record in reversed(records) if record.origin and record.base_seed is not None), None)


def earlier_row_seeds(records: Iterable[Record], base_seed: int) -> dict[str, dict[int, None]]:
    """By row the first seeds that runs with that base seed gave it, in the order in which they were written down, each once."""
    seeds: dict[str, dict[int, None]] = {}
    for record in records:
        if record.row is not None and record.row_seed is not None and record.base_seed == base_seed:
            seeds.setdefault(record.row, {})[record.row_seed] = None
    return seeds

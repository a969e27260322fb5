"""Every picture that is named, with its captions, before it is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aigc_cli.core.events import Caution
from aigc_cli.core.sample import Origin
from aigc_cli.data.find import SourceFile, shortened
from aigc_cli.data.reading import Reading
from aigc_cli.data.row import BadRowError, Row, kind_of
from aigc_cli.picture_data.captions import CAPTION_KEYS, captions_in, read_caption
from aigc_cli.picture_data.cells import cell_in
from aigc_cli.picture_data.dataset import Cell
from aigc_cli.picture_data.find import CAPTION_SUFFIX, Named, identity

PATH_KEYS = ("file_name", "image", "path")  # the first that a row has is taken


@dataclass(frozen=True, slots=True)
class Entry:
    """named: the number of the path it lies below.  raw: its row in an index.  error: why it is bad; else there is a path."""

    named: int
    origin: Origin
    raw: bytes = b""
    path: Path | None = None
    cell: Cell | None = None
    captions: tuple[str, ...] = ()
    error: str = ""


def read_entries(named: Sequence[Named]) -> tuple[list[Entry], list[Caution]]:
    """Of each path first what its indexes name, then the pictures that no index names.

    Raises: UsageError for an index that cannot be read at all.
    """
    neglected: dict[str, None] = {}
    rows = [[entry for index in each.indexes for entry in index_entries(number, index, neglected)] for number, each in enumerate(named)]
    in_indexes = {identity(entry.path) for of_path in rows for entry in of_path if entry.path}
    entries: list[Entry] = []
    unread: list[Path] = []
    for number, (each, of_indexes) in enumerate(zip(named, rows, strict=True)):
        named_twice = {path for path in each.pictures if identity(path) in in_indexes} if in_indexes else set()
        unread += [each.captions[path] for path in each.pictures if path in named_twice and path in each.captions]
        entries += of_indexes
        entries += [picture_entry(number, path, each.captions.get(path)) for path in each.pictures if path not in named_twice]
        entries += [Entry(number, Origin(str(path), 0), error="there is no picture beside this caption") for path in each.orphans]
    return entries, list(cautions(neglected, unread))


def picture_entry(named: int, path: Path, caption: Path | None) -> Entry:
    origin = Origin(str(path), 0)
    if caption is None:
        name = path.with_suffix(CAPTION_SUFFIX).name
        return Entry(named, origin, error=f"no caption: write one into {name}, or learn it without words with an empty {name}")
    try:
        return Entry(named, origin, path=path, captions=(read_caption(caption),))
    except BadRowError as error:
        return Entry(named, origin, error=str(error))


def index_entries(named: int, index: SourceFile, neglected: dict[str, None]) -> Iterator[Entry]:
    """neglected: takes the keys that would say something of a picture, and of which another was read."""
    for row in Reading(index).rows():
        origin = Origin(str(index.path), row.line, row.number)
        try:
            value = value_of(row)
            path, cell, captions = picture_in(value, index.path.parent), cell_in(value), captions_in(value)
        except BadRowError as error:
            yield Entry(named, origin, row.raw, error=str(error))
            continue
        neglected.update(dict.fromkeys(not_read(value)))
        yield Entry(named, origin, row.raw, path, cell, captions)


def value_of(row: Row) -> dict[str, Any]:
    if row.value is None:
        raise BadRowError(row.error)
    return row.value


def picture_in(row: dict[str, Any], folder: Path) -> Path:
    """Relative to the index. Raises: BadRowError."""
    key = next((key for key in PATH_KEYS if row.get(key) is not None), None)
    if key is None:
        raise BadRowError(f"it names no picture: it has none of {', '.join(PATH_KEYS)}")
    name = row[key]
    if not isinstance(name, str):
        raise BadRowError(f"{key} is {kind_of(name)}, it should be the name of a file")
    if not name.strip():
        raise BadRowError(f"{key} is empty")
    if name.startswith(("http://", "https://")):
        raise BadRowError(f"{key} is an address in the web: download the picture first")
    path = folder / name
    if not os.path.isfile(path):
        raise BadRowError(f"there is no file {path}")
    return path


def not_read(row: dict[str, Any]) -> Iterator[str]:
    for keys in (PATH_KEYS, CAPTION_KEYS):
        yield from [key for key in keys if row.get(key) is not None][1:]


def cautions(neglected: dict[str, None], unread: Sequence[Path]) -> Iterator[Caution]:
    if neglected:
        message = f"not used: {', '.join(neglected)}, for another key of the row was read"
        yield Caution(message=message, hint=f"the first there is counts of {', '.join(PATH_KEYS)}, and of {', '.join(CAPTION_KEYS)}")
    if unread:
        message = f"{len(unread)} caption files are not read, for an index names their pictures: {shortened(unread)}"
        yield Caution(message=message, hint="its captions count")

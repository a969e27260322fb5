"""A row as it stands in a file, and what can be wrong with its bytes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
MAX_ROW_BYTES = 64 * 2**20  # as much as any text that is given to a model
TOO_LONG = f"a row of more than {MAX_ROW_BYTES // 2**20} MiB"
KINDS = {str: "text", list: "a list", dict: "an object", bool: "true or false", int: "a number", float: "a number", type(None): "null"}


class BadRowError(ValueError):
    """A row that cannot be trained on; the message says why."""


@dataclass(slots=True)
class Row:
    """What stands in one place of a file: an object, or `error`, which says why there is none.

    line: where it begins, counted from 1; in Parquet the row's number.  raw: its bytes as they stand in the file.
    number: among the rows that begin on this line, 0 where it is the only one.
    """

    line: int
    value: dict[str, Any] | None
    raw: bytes
    error: str = ""
    number: int = 0


def numbered(rows: Iterator[Row]) -> Iterator[Row]:
    """The rows, those that share a line told apart. Reads one row ahead."""
    before: Row | None = None
    for row in rows:
        if before:
            if row.line == before.line:
                before.number = before.number or 1
                row.number = before.number + 1
            yield before
        before = row
    if before:
        yield before


def encoding_error(raw: bytes) -> str:
    """What is wrong with bytes that should be UTF-8; empty when nothing is."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return f"not UTF-8 at byte {error.start} of the row (0x{raw[error.start]:02x})"
    return ""


def kind_of(value: Any) -> str:
    """The type of a JSON value, in a word."""
    return KINDS.get(type(value), type(value).__name__)

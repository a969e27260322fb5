"""Rows that cannot be used: told together, or kept with what is wrong with them, so that they can be mended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Caution
from aigc_cli.core.sample import Origin
from aigc_cli.data.row import Row

ROWS_SHOWN = 20
MAX_KEPT = 2**20  # bytes of a row
TO_MEND = "mend them, or leave them out with --skip-bad"
TO_CONVERT = "convert what is not UTF-8, for example with iconv -f GB18030 -t UTF-8, or leave bad rows out with --skip-bad"


@dataclass(frozen=True, slots=True)
class BadRow:
    """number: of all rows, in the order they are read."""

    number: int
    origin: Origin
    error: str

    def __str__(self) -> str:
        return f"{self.origin}: {self.error}"


def bad_rows_error(first: Sequence[BadRow], count: int, rows: int, cannot: str, noun: str = "rows") -> UsageError:
    """Of `rows` rows `count` are bad, and the first of them are listed. cannot: what they are no good for, "be trained on"."""
    is_encoding = any(row.error.startswith("not UTF-8") for row in first)
    message = f"{count} of {rows} {noun} cannot {cannot}\n{bad_rows_listed(first, count)}"
    return UsageError(message, TO_CONVERT if is_encoding else TO_MEND)


def left_out_caution(first: Sequence[BadRow], count: int, rows: int, rejects: Path | None, noun: str = "rows") -> Caution:
    """Names the file that bad rows were written to, or lists the first of them where there is none."""
    message = f"{count} of {rows} {noun} are bad and left out"
    if rejects:
        return Caution(message=message, hint=f"they are in {rejects}, with what is wrong")
    return Caution(message=f"{message}\n{bad_rows_listed(first, count)}")


def bad_rows_listed(first: Sequence[BadRow], count: int) -> str:
    """A line for each of the first bad rows, and one that counts the others."""
    more = count - len(first)
    return "\n".join([*map(str, first), *([f"... and {more} more"] if more else [])])


@contextmanager
def rejects_file(target: Path) -> Iterator[Callable[[str, Row, str], None]]:
    """Gives a function that writes down a row: the file it stands in, the row, what is wrong with it.

    One JSON object a line: file, line, error, and the row as it stands there, cut at 1 MiB; bytes that are not UTF-8 are
    written as \\xNN.  The file appears when it is complete, if there was a row; an earlier one is gone then in any case.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.part")
    try:
        with temporary.open("wb") as file:

            def write(name: str, row: Row, error: str) -> None:
                raw = row.raw[:MAX_KEPT].decode("utf-8", "backslashreplace")
                reject = {"file": name, "line": row.line, "error": error, "row": raw}
                file.write(json.dumps(reject, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")

            yield write
            is_empty = not file.tell()
        if is_empty:
            target.unlink(missing_ok=True)
        else:
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)

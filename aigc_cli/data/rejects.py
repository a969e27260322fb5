"""Keeps the rows that are left out, with what is wrong with them, so that they can be mended."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from aigc_cli.core.events import Progress
from aigc_cli.core.sample import Split
from aigc_cli.data.find import SourceFile
from aigc_cli.data.formats import AnyFormat
from aigc_cli.data.reading import Pass
from aigc_cli.data.row import BadRowError, Row
from aigc_cli.data.survey import other_format, parse

MAX_KEPT = 2**20  # bytes of a row


def write_rejects(
    target: Path, files: Mapping[Split, Sequence[SourceFile]], with_bad: set[str], row_format: AnyFormat
) -> Iterator[Progress]:
    """Reads the files that have bad rows again, for only now it is known which format the others have.

    One JSON object a line: file, line, error, and the row as it stands there, cut at 1 MiB; bytes that are not UTF-8 are
    written as \\xNN.  The file appears when it is complete, and takes the place of an earlier one.
    """
    reader = Pass({split: [file for file in of_split if str(file.path) in with_bad] for split, of_split in files.items()})
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.part")
    try:
        with temporary.open("wb") as file:
            for _, name, row in reader.rows():
                if error := problem(row, row_format):
                    raw = row.raw[:MAX_KEPT].decode("utf-8", "backslashreplace")
                    reject = {"file": name, "line": row.line, "error": error, "row": raw}
                    file.write(json.dumps(reject, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
                if reader.is_news:
                    yield reader.progress("writing down the bad rows")
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def problem(row: Row, row_format: AnyFormat) -> str:
    """Why the row is bad; empty when it is not."""
    try:
        found, _, _ = parse(row)
    except BadRowError as error:
        return str(error)
    return "" if found == row_format else other_format(found, row_format)

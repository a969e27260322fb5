"""Keeps the rows that are left out of training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from aigc_cli.core.events import Progress
from aigc_cli.core.sample import Split
from aigc_cli.data.bad_rows import rejects_file
from aigc_cli.data.find import SourceFile
from aigc_cli.data.formats import AnyFormat
from aigc_cli.data.reading import Pass
from aigc_cli.data.row import BadRowError, Row
from aigc_cli.data.survey import other_format, parse


def write_rejects(
    target: Path, files: Mapping[Split, Sequence[SourceFile]], with_bad: set[str], formats: Sequence[AnyFormat]
) -> Iterator[Progress]:
    """Reads the files that have bad rows again, for only now it is known which formats are learnt."""
    reader = Pass({split: [file for file in of_split if str(file.path) in with_bad] for split, of_split in files.items()})
    with rejects_file(target) as reject:
        for _, name, row in reader.rows():
            if error := problem(row, formats):
                reject(name, row, error)
            if reader.is_news:
                yield reader.progress("writing down the bad rows")


def problem(row: Row, formats: Sequence[AnyFormat]) -> str:
    """Why the row is bad; empty when it is not."""
    try:
        found, _, _ = parse(row)
    except BadRowError as error:
        return str(error)
    return "" if found in formats else other_format(found, formats)

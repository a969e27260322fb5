"""Data that has passed its check, ready to be read once more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from aigc_cli.core.errors import UsageError
from aigc_cli.core.sample import Origin, RowFormat, Sample, Split
from aigc_cli.data.find import SourceFile, source_file
from aigc_cli.data.reading import Reading
from aigc_cli.data.row import BadRowError
from aigc_cli.data.split import SplitRule
from aigc_cli.data.survey import parse

CHARACTERS_SHOWN = 500


@dataclass(frozen=True)
class CheckedFile:
    """size: bytes.  modified: nanoseconds.  sha256: of the file as it lies on disk."""

    source: SourceFile
    size: int
    modified: int
    sha256: str

    @classmethod
    def of(cls, reading: Reading) -> CheckedFile:
        return cls(reading.file, reading.size, reading.modified, reading.sha256)

    @property
    def path(self) -> str:
        return str(self.source.path)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """files: as they were named for each split; `rule` keeps rows of "train" back.  formats: of its rows, the commonest
    first.  counts: rows of each split.

    duplicates: rows, of files named for training, equal to one before.  leaked: training rows that also stand in files
    named for validation or test.  left_out: bad rows.
    """

    files: dict[Split, tuple[CheckedFile, ...]]
    rule: SplitRule
    formats: tuple[RowFormat, ...]
    counts: dict[Split, int]
    duplicates: int = 0
    leaked: int = 0
    left_out: int = 0

    def samples(self) -> Iterator[tuple[Split, Origin, Sample]]:
        """All good rows in the order of the files. Reads the files again, and holds one row at a time.

        Raises: UsageError when a file is not what it was when it was checked.
        """
        for named_for, files in self.files.items():
            for file in files:
                for origin, sample, content_hash in self._good_rows(file):
                    split = self.rule.split_of(content_hash) if named_for == "train" else named_for
                    yield split, origin, sample

    def _good_rows(self, file: CheckedFile) -> Iterator[tuple[Origin, Sample, int]]:
        reading = Reading(file.source)
        if (reading.size, reading.modified) != (file.size, file.modified):
            raise changed_since(file)
        for row in reading.rows():
            try:
                found, sample, content_hash = parse(row)
            except BadRowError:
                continue
            if sample and found in self.formats:
                yield Origin(file.path, row.line, row.number), sample, content_hash
        if reading.sha256 != file.sha256:
            raise changed_since(file)


def changed_since(file: CheckedFile) -> UsageError:
    return UsageError(f"{file.path} has changed since it was checked", "run the command again when nothing writes to it")


def rows_of(origins: Sequence[Origin]) -> list[str]:
    """What stands in these rows, cut to 500 characters, in the order asked for; empty where a row is no longer there."""
    shown: dict[Origin, str] = dict.fromkeys(origins, "")
    for name in {origin.file for origin in origins}:
        wanted = {origin for origin in origins if origin.file == name}
        file = source_file(Path(name))
        if file is None or not file.path.is_file():
            continue
        with closing(Reading(file).rows()) as rows:
            for row in rows:
                origin = Origin(name, row.line, row.number)
                if origin in wanted:
                    wanted.remove(origin)
                    shown[origin] = row.raw.decode("utf-8", "backslashreplace")[:CHARACTERS_SHOWN].rstrip()
                if not wanted:
                    break
    return [shown[origin] for origin in origins]

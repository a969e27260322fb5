"""One pass over a file, whatever its kind, or over all."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path

from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Progress
from aigc_cli.core.sample import Split
from aigc_cli.data.find import SourceFile
from aigc_cli.data.formats import KEYS
from aigc_cli.data.json_rows import json_lines, json_rows
from aigc_cli.data.row import Row, numbered
from aigc_cli.data.source import Source
from aigc_cli.data.table_rows import csv_rows, parquet_rows, tsv_rows
from aigc_cli.data.text_rows import text_rows

PROGRESS_BYTES = 2**20
PROGRESS_STEPS = 200  # events, however large the files are
READERS: dict[str, Callable[[Source], Iterator[Row]]] = {
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".json": json_rows,
    ".csv": csv_rows,
    ".tsv": tsv_rows,
    ".txt": text_rows,
    ".md": text_rows,
}


class Reading:
    """Gives the rows once; knows meanwhile how far it is, and at the end what the file was.

    done: bytes of the file that were read.  size, modified: as they were when reading began.
    sha256: of the file as it lies on disk, known when all rows were taken. It comes from the same pass, but for
    Parquet, which is not read from front to back: there it takes a pass of its own.
    """

    def __init__(self, file: SourceFile) -> None:
        self.file = file
        self.size, self.modified = stamp(file.path)
        self.sha256 = ""
        self.source: Source | None = None

    @property
    def done(self) -> int:
        return self.source.raw.done if self.source else 0

    def rows(self) -> Generator[Row, None, None]:
        """Raises: UsageError for a file that cannot be read at all, or that changes while it is."""
        if self.file.kind == ".parquet":
            yield from parquet_rows(self.file.path, KEYS)
        self.source = open_source(self.file)
        try:
            if self.file.kind != ".parquet":
                yield from numbered(READERS[self.file.kind](self.source))
            if self.source.damage:
                yield Row(self.source.line + 1, None, b"", self.source.damage)
            self.sha256 = self.source.sha256()
        finally:
            self.source.close()
        if (self.size, self.modified) != stamp(self.file.path):
            raise has_changed(self.file.path)


class Pass:
    """All files, one after the other. readings: those that are finished, by the split their file was named for."""

    def __init__(self, files: Mapping[Split, Sequence[SourceFile]]) -> None:
        self.files = files
        self.readings: dict[Split, list[Reading]] = {split: [] for split in files}
        self.total = sum(stamp(file.path)[0] for of_split in files.values() for file in of_split)
        self.step = max(self.total // PROGRESS_STEPS, PROGRESS_BYTES)
        self.reading: Reading | None = None
        self.finished = self.shown = 0  # bytes

    def rows(self) -> Iterator[tuple[Split, str, Row]]:
        for split, files in self.files.items():
            for file in files:
                self.reading, name = Reading(file), str(file.path)
                for row in self.reading.rows():
                    yield split, name, row
                self.finished += self.reading.size
                self.readings[split].append(self.reading)
                self.reading = None

    @property
    def done(self) -> int:
        return self.finished + (self.reading.done if self.reading else 0)

    @property
    def is_news(self) -> bool:
        """Whether so much was read since the last progress that it is worth another."""
        return self.done - self.shown >= self.step

    def progress(self, phase: str) -> Progress:
        self.shown = self.done
        return Progress(phase=phase, done=self.shown, total=self.total)


def stamp(path: Path) -> tuple[int, int]:
    """Size in bytes and time of the last change in nanoseconds."""
    try:
        status = path.stat()
    except OSError as error:
        raise unreadable(path, error) from None
    return status.st_size, status.st_mtime_ns


def open_source(file: SourceFile) -> Source:
    try:
        return Source(file)
    except OSError as error:
        raise unreadable(file.path, error) from None


def unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path}: {(error.strerror or str(error)).lower()}", "check its name and who may read it")


def has_changed(path: Path) -> UsageError:
    return UsageError(f"{path} has changed while it was being read", "run the command again when nothing writes to it")

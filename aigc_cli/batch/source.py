"""Where prompts come from: files told apart by their names, stdin and pipes by their first line."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from aigc_cli.core.errors import UsageError
from aigc_cli.core.nearest import nearest
from aigc_cli.data.find import COMPRESSIONS, SourceFile, source_file
from aigc_cli.data.json_rows import json_lines, json_rows
from aigc_cli.data.reading import open_source, unreadable
from aigc_cli.data.row import BYTE_ORDER_MARK, MAX_ROW_BYTES, TOO_LONG, Row, encoding_error
from aigc_cli.data.source import Source
from aigc_cli.data.table_rows import csv_rows, tsv_rows

TABLES = {".csv": ",", ".tsv": "\t"}
OBJECT = re.compile(r"\{\s*([\"'}]|$)")  # {red|blue} is a prompt
LIST = re.compile(r"\[\s*(\{|$)")  # [cat] is one too


def prompt_lines(source: Source) -> Iterator[Row]:
    """A prompt a line, without the spaces around it; blank lines and those that begin with # are none."""
    for raw in source.lines():
        if wrong := TOO_LONG if len(raw) > MAX_ROW_BYTES else encoding_error(raw):
            yield Row(source.line, None, raw, wrong)
        elif raw.startswith(b"#"):
            source.comments += 1
        elif prompt := raw.decode().strip():
            yield Row(source.line, {"prompt": prompt}, raw)


READERS: dict[str, Callable[[Source], Iterator[Row]]] = {
    ".txt": prompt_lines,
    ".csv": csv_rows,
    ".tsv": tsv_rows,
    ".jsonl": json_lines,
    ".ndjson": json_lines,
    ".json": json_rows,
}


@dataclass(frozen=True)
class Prompts:
    """A source that is open. name: as messages call it.  kind: the suffix that says how it is read."""

    name: str
    kind: str
    source: Source

    def rows(self, columns: Collection[str]) -> Iterator[Row]:
        """Of a table's rows only the cells that are not empty, and no row that has none.

        Raises: UsageError for a header without `prompt` or with a name that is not among the columns.
        """
        is_checked = False
        for row in READERS[self.kind](self.source):
            if self.kind in TABLES and row.value is not None:
                if not is_checked:
                    check_header(self.name, [spelled(name) for name in row.value], columns)
                    is_checked = True
                row.value = {name: cell for name, cell in row.value.items() if cell.strip()}
                if not row.value:
                    continue
            yield row
        if self.source.damage:
            yield Row(self.source.line + 1, None, b"", self.source.damage)


@contextmanager
def open_prompts(name: str, columns: Collection[str], stdin: BinaryIO | None = None) -> Iterator[Prompts]:
    """A pipe and stdin ("-") are read to their end first. Raises: UsageError for what cannot be read, or is no file of prompts."""
    path = Path(name)
    if name == "-" or path.is_fifo():
        content = read_stdin(stdin) if name == "-" else path.read_bytes()
        name, kind = "stdin" if name == "-" else name, kind_by_looking(content, columns)
        source = Source(SourceFile(Path(name), kind), io.BytesIO(content))
    else:
        file = prompt_file(path)
        kind, source = file.kind, open_source(file)
    try:
        yield Prompts(name, kind, source)
    finally:
        source.close()


def read_stdin(stdin: BinaryIO | None) -> bytes:
    if stdin is None and sys.stdin is None:
        return b""  # closed
    return (stdin or sys.stdin.buffer).read()


def prompt_file(path: Path) -> SourceFile:
    try:
        path.stat()
    except OSError as error:
        raise unreadable(path, error) from None
    file = source_file(path)
    if path.is_dir() or file is None or file.kind not in READERS:
        hint = f"there is: {' '.join(READERS)}, and {' and '.join(COMPRESSIONS)} of these"
        raise UsageError(f"{path}: prompts cannot be read from {'a folder' if path.is_dir() else 'this kind of file'}", hint)
    return file


def folder_of(name: str) -> Path:
    """The folder that the names of files in a source are relative to."""
    return Path() if name == "-" or Path(name).is_fifo() else Path(name).parent


def kind_by_looking(content: bytes, columns: Collection[str]) -> str:
    """JSON by its bracket, a table by a header that names nothing but columns, `prompt` among them; else a prompt a line."""
    lines = (line.strip() for line in io.BytesIO(content.removeprefix(BYTE_ORDER_MARK)) if not line.startswith(b"#"))
    first = next((line for line in lines if line), b"").decode("utf-8", "replace")
    if OBJECT.match(first):
        return ".jsonl"
    if LIST.match(first):
        return ".json"
    for kind, delimiter in TABLES.items():
        names = {spelled(name) for fields in csv.reader([first], delimiter=delimiter) for name in fields}
        if "prompt" in names and names <= set(columns):
            return kind
    return ".txt"


def spelled(name: str) -> str:
    """A column may be written as the flag is: negative-prompt."""
    return name.strip().removeprefix("--").replace("-", "_")


def check_header(source: str, names: list[str], columns: Collection[str]) -> None:
    if "prompt" not in names:
        is_parted_otherwise = len(names) == 1 and ";" in names[0]
        hint = "its columns are parted by semicolons: save it with commas" if is_parted_otherwise else f"it names: {', '.join(names)}"
        raise UsageError(f"{source}: the header names no column 'prompt'", hint)
    for name in names:
        if name not in columns:
            raise UsageError(f"{source}: {no_column(name, columns)}", f"there is: {', '.join(columns)}")
        if names.count(name) > 1:
            raise UsageError(f"{source}: the header names the column {name!r} twice", "rename one of the two")


def no_column(name: str, columns: Collection[str]) -> str:
    hint = nearest(name, list(columns))
    return (f"there is no column {name!r}" if name else "a column has no name") + (f", {hint}" if hint else "")

"""Rows of tables: CSV and TSV with a header, Parquet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aigc_cli.core.errors import UsageError
from aigc_cli.core.extras import extra
from aigc_cli.data.row import MAX_ROW_BYTES, TOO_LONG, Row, encoding_error
from aigc_cli.data.source import Source

HEAD_BYTES = 2**10
BATCH_ROWS = 256
PARQUET_BUFFER = 2**18  # bytes of a column that are read at once; without it a whole row group would be


class CSVLines:
    """Feeds csv.reader; keeps the lines that the row in hand is made of."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.taken: list[bytes] = []

    def __iter__(self) -> Iterator[str]:
        for line in self.source.lines():
            self.taken.append(line)
            # csv takes four bytes for a character: of a line that is too long it gets the head, for the row is bad anyway
            head = line if len(line) <= MAX_ROW_BYTES else line[:HEAD_BYTES]
            yield head.decode("utf-8", "surrogateescape")  # each row is held to UTF-8 by itself


def csv_rows(source: Source, delimiter: str = ",") -> Iterator[Row]:
    """Fields may hold newlines, and quotes are held to the rules: what is malformed is a bad row, never half a row.

    Raises: UsageError for a header that cannot be read.
    """
    csv.field_size_limit(MAX_ROW_BYTES)  # the module has one for all; its own is 128 KiB
    lines = CSVLines(source)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    names: list[str] | None = None
    while True:
        line = source.line + 1
        lines.taken.clear()
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if not source.damage:  # that is the better reason
                raw = b"".join(lines.taken)
                yield Row(line, None, raw, TOO_LONG if len(raw) > MAX_ROW_BYTES else f"malformed: {error}")
            continue
        if not fields:
            continue
        raw = b"".join(lines.taken)
        if names is None:
            names = header(source, line, fields, raw)
        else:
            yield csv_row(line, names, fields, raw)


def csv_row(line: int, names: list[str], fields: list[str], raw: bytes) -> Row:
    if len(raw) > MAX_ROW_BYTES:
        return Row(line, None, raw, TOO_LONG)
    if wrong := encoding_error(raw):
        return Row(line, None, raw, wrong)
    if len(fields) != len(names):
        return Row(line, None, raw, f"it has {len(fields)} fields, the header has {len(names)}")
    return Row(line, dict(zip(names, fields, strict=True)), raw)


def header(source: Source, line: int, fields: list[str], raw: bytes) -> list[str]:
    where = f"{source.path}:{line}"
    if wrong := encoding_error(raw):
        raise UsageError(f"{where}: the header is {wrong}", "convert the file first, for example: iconv -f GB18030 -t UTF-8")
    names = [field.strip() for field in fields]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"{where}: the header names the column {twice!r} twice", "rename one of the two")
    return names


def tsv_rows(source: Source) -> Iterator[Row]:
    return csv_rows(source, "\t")


def parquet_rows(path: Path, columns: frozenset[str]) -> Iterator[Row]:
    """Only the columns that are asked for, where the file has any of them; others may be large.

    Raises: UsageError for a file that is no Parquet, AigcError when pyarrow is not installed.
    """
    with extra("data", "reading Parquet"):
        import pyarrow
        from pyarrow import parquet
    number = 0
    try:
        with parquet.ParquetFile(path, pre_buffer=False, buffer_size=PARQUET_BUFFER) as file:
            wanted = [name for name in file.schema_arrow.names if name in columns] or None
            for batch in file.iter_batches(BATCH_ROWS, columns=wanted):
                for row in batch_rows(batch, number):
                    number = row.line
                    yield row
    except (pyarrow.ArrowException, OSError) as error:
        if not number:
            raise UsageError(f"{path}: not a Parquet file that can be read ({error})", "check that it is whole") from None
        yield Row(number + 1, None, b"", f"the file is damaged ({error}): nothing from here on could be read")


def batch_rows(batch: Any, before: int) -> Iterator[Row]:
    try:
        values = batch.to_pylist()
    except UnicodeDecodeError:
        values = None
    for index in range(batch.num_rows):
        try:
            value = values[index] if values else batch.slice(index, 1).to_pylist()[0]
        except UnicodeDecodeError as error:
            yield Row(before + index + 1, None, b"", f"not UTF-8 at byte {error.start} of a text (0x{error.object[error.start]:02x})")
            continue
        yield Row(before + index + 1, value, json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace"))

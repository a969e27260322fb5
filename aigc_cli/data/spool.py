"""Keeps what comes on stdin, which can be read once only, in a file, which can be read twice."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import BinaryIO

from aigc_cli.core.errors import UsageError
from aigc_cli.data.formats import FORMATS
from aigc_cli.data.row import BYTE_ORDER_MARK

HEAD_BYTES = 2**16
COMPRESSED = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\0": "xz", b"(\xb5/\xfd": "zstd", b"BZh": "bzip2", b"PK\x03\x04": "zip"}


def spool(stream: BinaryIO, path: Path) -> Path:
    """Writes the stream to `path` with the suffix of its kind, and returns that.

    Raises: UsageError for a stream that is empty or compressed; OSError.
    """
    head = stream.read(HEAD_BYTES)
    if not head.strip():
        raise UsageError("stdin is empty", "pipe rows in, or name a file")
    for magic, name in COMPRESSED.items():
        if head.startswith(magic):
            raise UsageError(f"stdin is compressed with {name}", f"pipe it through {name} -dc first, or name the file")
    target = path.with_name(path.name + kind_of_text(head))
    with target.open("wb") as file:
        file.write(head)
        shutil.copyfileobj(stream, file)
    return target


def kind_of_text(head: bytes) -> str:
    """From the first bytes: JSON by its bracket, Parquet by its mark, a table by the names of its columns; else running text."""
    text = head.removeprefix(BYTE_ORDER_MARK).lstrip()
    if text.startswith(b"PAR1"):
        return ".parquet"
    if text.startswith(b"{"):
        return ".jsonl"
    if text.startswith(b"["):
        return ".json"
    first_line = text.split(b"\n", 1)[0].decode("utf-8", "replace")
    for kind, delimiter in ((".tsv", "\t"), (".csv", ",")):
        names = {name.strip() for fields in csv.reader([first_line], delimiter=delimiter) for name in fields}
        if any(names.issuperset(keys) for _, keys in FORMATS if len(names) > 1 or len(keys) > 1):
            return kind
    return ".txt"

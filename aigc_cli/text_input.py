"""Reads what the user gives: stdin first, then files, then the argument, so that the instruction stands last."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from aigc_cli.core.errors import UsageError

MAX_TEXT_BYTES = 64 * 2**20
NO_TEXT = "there is no text to work on"
NO_TEXT_HINT = "give it as an argument, with -f FILE, or on stdin"
TOO_LARGE_HINT = "no model reads that much at once: split it"


def gather_text(
    argument: str | None, files: Sequence[Path], stdin: BinaryIO | None = None, *, lacking: str = NO_TEXT, hint: str = NO_TEXT_HINT
) -> str:
    """All parts, joined by one blank line.

    `-`, as the argument or among the files, names stdin where it should stand; otherwise stdin is read when it is
    not a terminal and comes first. lacking, hint: what is said, and what to do, where there is no text at all.
    Raises: UsageError for input that is no text (with the byte offset), too large, or not there.
    """
    names: list[str | Path] = list(files)
    if argument is not None:
        # the shell's bytes, which Python has smuggled into the string where they are no UTF-8
        names.append(Argument(decode(os.fsencode(argument), "the argument")) if argument != "-" else Path("-"))
    mentions_stdin = any(isinstance(name, Path) and str(name) == "-" for name in names)
    if not mentions_stdin and (stdin is not None or (sys.stdin is not None and not sys.stdin.isatty())):
        names.insert(0, Path("-"))
    parts = [name if isinstance(name, Argument) else read_text(Path(name), stdin) for name in names]
    text = "\n\n".join(part.strip("\n") if len(parts) > 1 else part for part in parts if part)
    if len(text.encode()) > MAX_TEXT_BYTES:
        raise UsageError(f"more than {MAX_TEXT_BYTES // 2**20} MiB of text, all parts together", TOO_LARGE_HINT)
    if not text.strip():
        raise UsageError(lacking, hint)
    return text


class Argument(str):
    """The command line's own text, as opposed to the name of a file."""


def read_text(path: Path, stdin: BinaryIO | None = None) -> str:
    """The text of a file, or of stdin when path is `-`. Reads no more than the limit allows."""
    if str(path) == "-":
        if stdin is None and sys.stdin is None:
            return ""  # closed
        return decode((stdin or sys.stdin.buffer).read(MAX_TEXT_BYTES + 1), "stdin")
    try:
        with path.open("rb") as file:
            return decode(file.read(MAX_TEXT_BYTES + 1), str(path))
    except IsADirectoryError:
        raise UsageError(f"{path} is a folder, not a file", "name the files in it one by one") from None
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}", "check its name") from None


def decode(data: bytes, name: str) -> str:
    """Strict UTF-8 without NUL. Raises: UsageError with the offset of the first bad byte."""
    if len(data) > MAX_TEXT_BYTES:
        raise UsageError(f"{name}: more than {MAX_TEXT_BYTES // 2**20} MiB of text", TOO_LARGE_HINT)
    if (offset := data.find(b"\0")) >= 0:
        raise UsageError(f"{name}: a NUL byte at byte {offset}: this is not text", "only UTF-8 text can be read")
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        hint = "convert it first, for example: iconv -f GB18030 -t UTF-8"
        raise UsageError(f"{name}: not UTF-8 at byte {error.start} (0x{data[error.start]:02x})", hint) from None

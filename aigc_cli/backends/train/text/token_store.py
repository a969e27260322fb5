"""Encoded rows on disk, so that memory does not grow with the data: 20 bytes a row are held at most.

tokens.i32    the rows' tokens end to end, little-endian int32
trained.bits  a bit per token, each row beginning at a byte
rows.bin      a ROW for each row: lengths, and where the row stands in the data
store.json    written last: what the other files hold; without it the store is not complete
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast

import numpy

from aigc_cli.atomic_file import replace_file
from aigc_cli.backends.train.text.encode import Encoded
from aigc_cli.core.errors import AigcError
from aigc_cli.core.sample import Origin

VERSION = 2
ROW = numpy.dtype([("length", "<i4"), ("trained", "<i4"), ("file", "<i4"), ("line", "<i8"), ("row", "<i8")])
FILES = ("tokens.i32", "trained.bits", "rows.bin")
HINT = "delete the folder: it is made again from the data"


class TokenStoreError(AigcError):
    """A store that is torn or damaged."""


@dataclass(frozen=True)
class Row:
    """ids: int32.  trained: bool, for each token whether it is learnt."""

    ids: numpy.ndarray
    trained: numpy.ndarray


class TokenStoreWriter:
    """Writes a store in place of what the folder held. Left by an exception, the store stays incomplete.

    files: the names that `add` and `TokenStore.origin` refer to by number.
    """

    def __init__(self, folder: Path, files: Sequence[str]) -> None:
        self.folder = folder
        self.files = list(files)
        self.tokens = 0

    def __enter__(self) -> TokenStoreWriter:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "store.json").unlink(missing_ok=True)
        self._tokens, self._trained, self._rows = (open(self.folder / name, "wb") for name in FILES)  # noqa: SIM115
        return self

    def add(self, encoded: Encoded, file_index: int, line: int, row: int = 0) -> None:
        """line, row: as in Origin."""
        self._tokens.write(numpy.asarray(encoded.ids, "<i4").tobytes())
        self._trained.write(numpy.packbits(numpy.asarray(encoded.trained, bool)).tobytes())
        self._rows.write(numpy.array((len(encoded.ids), sum(encoded.trained), file_index, line, row), ROW).tobytes())
        self.tokens += len(encoded.ids)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        sizes = {}
        for name, file in zip(FILES, (self._tokens, self._trained, self._rows), strict=True):
            with file:
                if error is None:
                    file.flush()
                    os.fsync(file.fileno())
                    sizes[name] = file.tell()
        if error is None:
            content = {"version": VERSION, "tokens": self.tokens, "bytes": sizes, "files": self.files}
            replace_file(self.folder / "store.json", json.dumps(content, ensure_ascii=False).encode("utf-8", "backslashreplace"))


class TokenStore:
    """Rows by number, read when they are asked for, for the pages of a mapped file would count as the process's own.

    lengths, trained_counts: tokens of each row, int32.
    Raises: TokenStoreError for a store that is not complete or whose files do not belong together.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        content = read_content(folder)
        self.files: list[str] = content["files"]
        rows = numpy.fromfile(folder / "rows.bin", ROW)
        self.lengths = numpy.ascontiguousarray(rows["length"])
        self.trained_counts = numpy.ascontiguousarray(rows["trained"])
        self._token_offsets = offsets(self.lengths)
        self._trained_offsets = offsets(-(-self.lengths // 8))
        if int(self._token_offsets[-1]) != content["tokens"] or int(self._trained_offsets[-1]) != content["bytes"]["trained.bits"]:
            raise TokenStoreError(f"the files in {folder} do not belong together", HINT)
        self._tokens, self._trained, self._rows = (open(folder / name, "rb", buffering=0) for name in FILES)  # noqa: SIM115

    def __len__(self) -> int:
        return len(self.lengths)

    def get(self, number: int) -> Row:
        length = int(self.lengths[number])
        ids = read(self._tokens, 4 * length, 4 * int(self._token_offsets[number]))
        bits = read(self._trained, -(-length // 8), int(self._trained_offsets[number]))
        trained = numpy.unpackbits(numpy.frombuffer(bits, numpy.uint8), count=length).astype(bool)
        return Row(numpy.frombuffer(ids, "<i4"), trained)

    def origin(self, number: int) -> Origin:
        row = numpy.frombuffer(read(self._rows, ROW.itemsize, ROW.itemsize * number), ROW)[0]
        return Origin(self.files[row["file"]], int(row["line"]), int(row["row"]))

    def close(self) -> None:
        for file in (self._tokens, self._trained, self._rows):
            file.close()


def read_content(folder: Path) -> dict[str, Any]:
    """Raises: TokenStoreError unless the store is complete and each file as long as it was written."""
    try:
        content = json.loads((folder / "store.json").read_bytes())
        if content["version"] != VERSION:
            raise TokenStoreError(f"{folder} was written by another version of aigc", HINT)
        for name, size in content["bytes"].items():
            found = (folder / name).stat().st_size
            if found != size:
                raise TokenStoreError(f"{folder / name} has {found} bytes instead of {size}", HINT)
    except FileNotFoundError as missing:
        raise TokenStoreError(f"the tokens in {folder} are not complete: there is no {Path(missing.filename).name}", HINT) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TokenStoreError(f"{folder / 'store.json'} is damaged", HINT) from error
    return cast(dict[str, Any], content)


def offsets(lengths: numpy.ndarray) -> numpy.ndarray:
    """Where each piece begins when they stand end to end; one more than there are pieces."""
    return numpy.concatenate(([0], numpy.cumsum(lengths, dtype=numpy.int64)))


def read(file: BinaryIO, size: int, offset: int) -> bytes:
    """Raises: TokenStoreError where the file ends before."""
    file.seek(offset)
    data = file.read(size)
    if len(data) != size:
        raise TokenStoreError(f"{file.name} ends too early", HINT)
    return data

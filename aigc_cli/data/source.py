"""The bytes of a file, decompressed as they are read, counted and hashed on the way: one pass, flat memory."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import zlib
from collections.abc import Iterator
from functools import partial
from typing import Any, BinaryIO

from aigc_cli.data.find import SourceFile
from aigc_cli.data.row import BYTE_ORDER_MARK, MAX_ROW_BYTES

BUFFER_BYTES = 2**18


class DamagedError(Exception):
    """Compressed data that ends too early or is not what it says it is."""


class HashedFile(io.RawIOBase):
    """A file that counts the bytes read and hashes them."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.digest = hashlib.sha256()
        self.done = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.file.read(len(buffer))
        buffer[: len(data)] = data
        self.digest.update(data)
        self.done += len(data)
        return len(data)

    def close(self) -> None:
        self.file.close()
        super().close()


class Decompressed(io.RawIOBase):
    """What a compressed file holds, piece by piece, so that all that comes before a damage can be had.

    Raises: DamagedError from reading.
    """

    def __init__(self, raw: io.RawIOBase, compression: str) -> None:
        compressed = io.BufferedReader(raw, BUFFER_BYTES)
        open_file = gzip.open if compression == ".gz" else lzma.open
        self.file = open_file(compressed)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self.file.read1(len(buffer))
        except EOFError:
            raise DamagedError("the compressed file is cut short") from None
        except (gzip.BadGzipFile, lzma.LZMAError, zlib.error) as error:
            raise DamagedError(f"the compressed file is damaged ({error})") from None
        buffer[: len(data)] = data
        return len(data)


class Source:
    """A file that is open for one pass.

    line: how many lines have been begun.  comments: how many of them its reader left out as such.
    damage: why reading ended before the data did; what came before it counts.
    content: read in place of the file, which is then only a name.
    """

    def __init__(self, file: SourceFile, content: BinaryIO | None = None) -> None:
        self.path = file.path
        self.raw = HashedFile(content or file.path.open("rb", buffering=0))
        stream = Decompressed(self.raw, file.compression) if file.compression else self.raw
        self.stream = io.BufferedReader(stream, BUFFER_BYTES)
        self.line = self.comments = 0
        self.damage = ""

    def lines(self) -> Iterator[bytes]:
        """Lines with their ends, which only a newline makes. Of one longer than MAX_ROW_BYTES a byte more than that is given."""
        try:
            yield from self._lines()
        except DamagedError as error:
            self.damage = str(error)

    def _lines(self) -> Iterator[bytes]:
        read_line = partial(self.stream.readline, MAX_ROW_BYTES + 1)
        line = read_line().removeprefix(BYTE_ORDER_MARK)
        while line:
            self.line += 1
            if len(line) > MAX_ROW_BYTES:
                self._skip_line(line)
            yield line
            line = read_line()

    def _skip_line(self, begun: bytes) -> None:
        part = begun
        while part and not part.endswith(b"\n"):
            part = self.stream.readline(BUFFER_BYTES)

    def read(self, size: int) -> bytes:
        """So many bytes; fewer only at the end, and where the file is damaged."""
        parts = []
        try:
            while size > 0 and (part := self.stream.read1(size)):
                parts.append(part)
                size -= len(part)
        except DamagedError as error:
            self.damage = str(error)
        return b"".join(parts)

    def peek(self) -> bytes:
        """The first bytes, which stay to be read."""
        try:
            return self.stream.peek().removeprefix(BYTE_ORDER_MARK)
        except DamagedError:
            return b""

    def sha256(self) -> str:
        """Of the whole file as it lies on disk; reads to its end."""
        while self.raw.read(BUFFER_BYTES):
            pass
        return self.raw.digest.hexdigest()

    def close(self) -> None:
        self.raw.close()

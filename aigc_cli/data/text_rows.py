"""Running text as rows: pieces of some thousand bytes, cut where a paragraph ends.

Where none ends in a piece's second half it is cut at the end of a line, and a line that is too long between words.
Within a piece the text is as it stands, but that lines end with a newline alone and blank ones are empty; blank lines
at a piece's ends are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aigc_cli.data.row import MAX_ROW_BYTES, TOO_LONG, Row, encoding_error
from aigc_cli.data.source import Source

PIECE_BYTES = 8000  # of UTF-8: about 2,000 tokens, in English as in Chinese


@dataclass(frozen=True, slots=True)
class Line:
    """gap: the newlines between it and the line before, none within a line that was cut.  data: UTF-8."""

    number: int
    gap: bytes
    data: bytes

    @property
    def size(self) -> int:
        return len(self.gap) + len(self.data)


def text_rows(source: Source) -> Iterator[Row]:
    """A line that is not UTF-8 is a bad row and ends the piece before it."""
    piece: list[Line] = []
    size = 0
    for line in text_lines(source):
        if isinstance(line, Row):
            if piece:
                yield piece_row(piece)
            yield line
            piece, size = [], 0
            continue
        piece.append(line)
        size += line.size
        while size > PIECE_BYTES and len(piece) > 1:
            cut = place_to_cut(piece)
            yield piece_row(piece[:cut])
            piece = piece[cut:]
            size = sum(part.size for part in piece)
    if piece:
        yield piece_row(piece)


def place_to_cut(lines: Sequence[Line]) -> int:
    """Of lines that are too many: where the last paragraph begins, if that is in a piece's second half, else the last line."""
    size = sum(line.size for line in lines)
    for at in range(len(lines) - 1, 0, -1):
        size -= lines[at].size
        if size < PIECE_BYTES // 2:
            break
        if len(lines[at].gap) > 1:
            return at
    return len(lines) - 1


def piece_row(piece: Sequence[Line]) -> Row:
    data = piece[0].data + b"".join(line.gap + line.data for line in piece[1:])
    return Row(piece[0].number, {"text": data.decode()}, data)


def text_lines(source: Source) -> Iterator[Line | Row]:
    """Lines that are not blank, each of at most PIECE_BYTES."""
    gap = b"\n"
    for raw in source.lines():
        if wrong := TOO_LONG if len(raw) > MAX_ROW_BYTES else encoding_error(raw):
            yield Row(source.line, None, raw, wrong)
            gap = b"\n"
        elif not raw.decode().strip():
            gap += b"\n"
        else:
            yield from parts(raw.rstrip(b"\r\n"), source.line, gap)
            gap = b"\n"


def parts(data: bytes, number: int, gap: bytes) -> Iterator[Line]:
    """Cuts behind a space, else between two characters."""
    start = 0
    while len(data) - start > PIECE_BYTES:
        end = data.rfind(b" ", start, start + PIECE_BYTES) + 1
        if end <= start:
            end = start + PIECE_BYTES
            while data[end] & 0xC0 == 0x80:  # within a character
                end -= 1
        yield Line(number, b"" if start else gap, data[start:end])
        start = end
    yield Line(number, b"" if start else gap, data[start:])

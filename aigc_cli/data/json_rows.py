"""Rows of JSON: an object a line, or one list of objects, decoded piece by piece."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from aigc_cli.data.row import MAX_ROW_BYTES, TOO_LONG, Row, encoding_error, kind_of
from aigc_cli.data.source import Source

CHUNK_BYTES = 2**18
LONGEST_WORD = 16  # characters that a literal, an escape or a number's sign and point may be cut in
DECODER = json.JSONDecoder()
SPACE = re.compile("[ \t\r\n\ufeff]*")


def json_rows(source: Source) -> Iterator[Row]:
    """Of a `.json` file: one list of rows, or, as many tools write it, a row a line."""
    return JSONList(source).rows() if source.peek().lstrip().startswith(b"[") else json_lines(source)


def json_lines(source: Source) -> Iterator[Row]:
    """Blank lines are skipped; a bad line does not stop the reading."""
    decode = DECODER.decode
    for line in source.lines():
        if line.isspace():
            continue
        try:
            value = decode(line.decode())
        except (ValueError, RecursionError) as error:
            yield Row(source.line, None, line, json_error(line, error))
            continue
        yield object_row(source.line, value, line)


def object_row(line: int, value: Any, raw: bytes) -> Row:
    if len(raw) > MAX_ROW_BYTES:
        return Row(line, None, raw, TOO_LONG)
    if type(value) is not dict:
        return Row(line, None, raw, f"{kind_of(value)}, not an object")
    return Row(line, value, raw)


def json_error(raw: bytes, error: Exception) -> str:
    if len(raw) > MAX_ROW_BYTES:
        return TOO_LONG
    if wrong := encoding_error(raw):
        return wrong
    if (offset := raw.find(b"\0")) >= 0:
        return f"a NUL byte at byte {offset} of the row"
    if raw.strip() == b"[":
        return "broken JSON: a list begins; a file that is one list of rows is to be named .json"
    if isinstance(error, RecursionError):
        return "JSON that is nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        return f"broken JSON at character {error.pos + 1} of the row ({error.msg})"
    return f"broken JSON ({error})"


class BrokenListError(Exception):
    """JSON after which nobody can tell where the next row begins."""


class JSONList:
    """Reads a list of any length; holds one of its rows at a time. A row that is not UTF-8 is passed over, broken JSON is the end."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode  # each row is held to UTF-8 by itself
        self.text, self.at = "", 0  # what is read and not dropped yet, and where to go on in it
        self.line, self.counted = 1, 0  # the line that text[counted] stands in

    def rows(self) -> Iterator[Row]:
        try:
            self._take("[")
            if self._next() != "]":
                yield self._row()
            while self._next() == ",":
                self._take(",")
                yield self._row()
            self._take("]")
            if self._next():
                raise BrokenListError("there is more after the end of the list")
        except BrokenListError as error:
            if not self.source.damage:  # that is the better reason
                raw = self.text[self.at : self.at + CHUNK_BYTES].encode("utf-8", "surrogateescape")
                yield Row(self._line(), None, raw, f"{error}: nothing from here on could be read")
        self.source.line = self._line()

    def _row(self) -> Row:
        self._next()
        value, end = self._decode()
        line, raw = self._line(), self.text[self.at : end].encode("utf-8", "surrogateescape")
        self.at = end
        wrong = encoding_error(raw)
        return Row(line, None, raw, wrong) if wrong else object_row(line, value, raw)

    def _decode(self) -> tuple[Any, int]:
        """The value that begins here and where it ends, with as much more of the file as it takes."""
        size = CHUNK_BYTES
        while True:
            try:
                value, end = DECODER.raw_decode(self.text, self.at)
                if end < len(self.text) or not self._more(size):
                    return value, end
                continue  # a number may go on
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated string") or error.pos > len(self.text) - LONGEST_WORD
                message = f"broken JSON at character {error.pos - self.at + 1} of the row ({error.msg})"
            except (ValueError, RecursionError) as error:
                is_cut, message = False, json_error(b"", error)
            if len(self.text) - self.at > MAX_ROW_BYTES:
                raise BrokenListError(TOO_LONG)
            if not is_cut or not self._more(size):
                raise BrokenListError(message)
            size *= 2  # a large row is not tried too often

    def _next(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            self.at = SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._more(CHUNK_BYTES):
                return ""

    def _take(self, char: str) -> None:
        if (found := self._next()) != char:
            raise BrokenListError(f"{found!r} where a comma should be" if found else "the list does not end: is the file cut short?")
        self.at += 1

    def _more(self, size: int) -> bool:
        """Reads on and drops what has been used; false at the end."""
        data = self.source.read(size)
        text = self.decode(data, not data)  # at the end, also what is left of a character that is cut
        self._line()
        self.text, self.at, self.counted = self.text[self.at :] + text, 0, 0
        return bool(data or text)

    def _line(self) -> int:
        self.line += self.text.count("\n", self.counted, self.at)
        self.counted = self.at
        return self.line

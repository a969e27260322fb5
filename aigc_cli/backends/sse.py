"""Server-sent events, as OpenAI's protocol uses them: from bytes, cut anywhere, to the JSON objects they carry."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

MAX_LINE_BYTES = 16 * 2**20
FIELDS_WITHOUT_USE = ("event", "id", "retry", "")  # a line that begins with a colon is a comment, to keep a connection alive


class NotAStream(ValueError):
    """What came is not what was asked for; the argument is how it begins."""


def read_objects(chunks: Iterable[bytes]) -> Iterator[dict[str, Any] | None]:
    """The object of each `data:` line; None for [DONE], which ends the stream.

    A stream that breaks off in the middle of an object ends without it. llama.cpp's `error:` lines come as {"error": ...}.
    Raises: NotAStream at the first line that is something else.
    """
    for line, is_whole in read_lines(chunks):
        field, _, value = line.partition(b":")
        name, value = field.decode("utf-8", "replace"), value.strip()
        if not line or name in FIELDS_WITHOUT_USE:
            continue
        if name not in ("data", "error"):
            raise NotAStream(line.decode("utf-8", "replace"))
        if value == b"[DONE]":
            yield None
            return
        try:
            parsed = json.loads(value.decode())
        except ValueError:
            if not is_whole:
                return
            raise NotAStream(line.decode("utf-8", "replace")) from None
        if not isinstance(parsed, dict):
            raise NotAStream(line.decode("utf-8", "replace"))
        yield {"error": parsed} if name == "error" else parsed


def read_lines(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Lines without their end, and whether they had one.

    Only LF ends a line: JSON text may hold U+2028 or U+0085 as they are, where str.splitlines would cut.
    """
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.rstrip(b"\r"), True
        if len(rest) > MAX_LINE_BYTES:
            raise NotAStream(rest[:1000].decode("utf-8", "replace"))
    if rest:
        yield rest.rstrip(b"\r"), False

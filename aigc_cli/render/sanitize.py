"""Keeps model output from driving the user's terminal."""

from __future__ import annotations

import re

# C0 without tab and newline, DEL and C1, and the bidirectional controls (CWE-150, Unicode TR 36)
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def sanitize(text: str) -> str:
    """The text without control characters and bidirectional controls."""
    return UNSAFE.sub("", text)


class ControlFilter:
    """`sanitize` for a text that comes in pieces, cut anywhere."""

    def feed(self, text: str) -> str:
        return sanitize(text)

    def flush(self) -> str:
        return ""

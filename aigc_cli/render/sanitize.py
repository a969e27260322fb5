"""Keeps model output from driving the user's terminal (CWE-150).

What goes: C0 controls but newline and tab, DEL, C1, whole escape sequences with their payload (ECMA-48: CSI, OSC,
DCS, APC, PM, SOS and the short ones, also behind their 8-bit introducers), and bidirectional controls (Unicode TR 36).
A carriage return becomes a newline, and so does one with its newline.
"""

from __future__ import annotations

import re
from enum import Enum, auto

LONGEST_CSI = 64  # characters; what follows is no control sequence of any terminal and is shown
LONGEST_STRING = 1024  # an OSC or DCS that nobody ends must not swallow the rest of an answer

BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
UNSAFE = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{BIDI}]")


class State(Enum):
    TEXT = auto()
    ESCAPE = auto()  # after ESC
    CSI = auto()
    STRING = auto()  # in an OSC, DCS, APC, PM or SOS
    STRING_ESCAPE = auto()  # after an ESC in there: ST if a backslash follows


INTRODUCERS = {"\x1b": State.ESCAPE, "\x9b": State.CSI, **dict.fromkeys("\x90\x98\x9d\x9e\x9f", State.STRING)}
AFTER_ESCAPE = {"[": State.CSI, **dict.fromkeys("PX]^_", State.STRING)}


class ControlFilter:
    """`sanitize` for a text that comes in pieces, cut anywhere: a state machine over its characters.

    Nothing that may be shown is ever held back. The next text takes a filter of its own.
    """

    def __init__(self) -> None:
        self.state = State.TEXT
        self.length = 0  # of the sequence that is being dropped
        self.after_return = False

    def feed(self, text: str) -> str:
        if self.state is State.TEXT and not self.after_return and not UNSAFE.search(text):
            return text
        return "".join(map(self._pass, text))

    def _pass(self, char: str) -> str:
        """What is shown for one character: itself, a newline or nothing."""
        if self.state is not State.TEXT:
            return self._inside(char)
        if char == "\n" and self.after_return:
            self.after_return = False
            return ""
        self.after_return = char == "\r"
        if char in INTRODUCERS:
            return self._enter(INTRODUCERS[char])
        return "\n" if char == "\r" else UNSAFE.sub("", char)

    def _enter(self, state: State) -> str:
        self.state, self.length = state, 0
        return ""

    def _leave(self, char: str) -> str:
        """Back to text, which begins with this character."""
        self.state = State.TEXT
        return self._pass(char)

    def _inside(self, char: str) -> str:
        self.length += 1
        if char in "\n\r\x18\x1a":  # CAN and SUB cancel a sequence, and none that matters goes over a line's end
            return self._leave(char)
        if self.state is State.STRING_ESCAPE:
            return self._enter(State.TEXT) if char == "\\" else self._enter(State.ESCAPE) + self._inside(char)
        if self.state is State.STRING:
            return self._in_string(char)
        if char in INTRODUCERS:
            return self._enter(INTRODUCERS[char])
        return self._in_escape(char) if self.state is State.ESCAPE else self._in_csi(char)

    def _in_string(self, char: str) -> str:
        if char in "\a\x9c":
            return self._enter(State.TEXT)
        if char == "\x1b":
            self.state = State.STRING_ESCAPE
            return ""
        return self._leave(char) if self.length > LONGEST_STRING else ""

    def _in_escape(self, char: str) -> str:
        if char in AFTER_ESCAPE and self.length == 1:
            return self._enter(AFTER_ESCAPE[char])
        if " " <= char <= "/" and self.length < LONGEST_CSI:  # intermediate bytes: the final one is still to come
            return ""
        return self._enter(State.TEXT) if "0" <= char <= "~" else self._leave(char)

    def _in_csi(self, char: str) -> str:
        if " " <= char <= "?" and self.length < LONGEST_CSI:  # parameters and intermediate bytes
            return ""
        return self._enter(State.TEXT) if "@" <= char <= "~" else self._leave(char)


def sanitize(text: str) -> str:
    """The text without control characters, escape sequences and bidirectional controls."""
    return ControlFilter().feed(text)

"""From tokens to the pieces of text that may be shown: no piece splits a character, shows a stop string or a marker.

Knows nothing of models: engines that make tokens use both classes, those that receive text only DeltaBuffer.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Literal

import regex

Channel = Literal["text", "reasoning"]

GRAPHEME = regex.compile(r"\X")  # extended grapheme clusters, Unicode UAX 29
REASONING_MARKERS = (("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<reasoning>", "</reasoning>"))
BYTE_TOKEN = regex.compile(r"<0x[0-9A-F]{2}>")
REPLACEMENT = "\ufffd"  # what bytes that are no UTF-8 (yet) decode to


class Detokenizer:
    """Turns token ids into text, one by one; joined, the pieces equal the decoding of all ids.

    decode: token ids -> text.
    context: ids that come before and are not shown; with the end of a prompt here, the first new word keeps the
        space that some tokenizers drop at the start of a text.
    byte_ids: tokens that stand for one byte of a character (see byte_token_ids).

    Only a window of ids is decoded for each new one: from before the last piece, because what a token decodes to
    depends on its left neighbour.
    """

    def __init__(self, decode: Callable[[list[int]], str], context: Sequence[int] = (), byte_ids: Set[int] = frozenset()) -> None:
        self.decode = decode
        self.ids = list(context)
        self.byte_ids = byte_ids
        self.window_start = 0
        self.shown_end = len(self.ids)

    def push(self, token: int) -> str:
        """The text that this token completes; empty while it ends inside a character."""
        self.ids.append(token)
        return "" if token in self.byte_ids else self._advance(is_last=False)

    def finish(self) -> str:
        """What is left: bytes that never became a character, as U+FFFD."""
        return self._advance(is_last=True)

    def _advance(self, *, is_last: bool) -> str:
        shown = self.decode(self.ids[self.window_start : self.shown_end])
        text = self.decode(self.ids[self.window_start :])
        if len(text) <= len(shown) or (text.endswith(REPLACEMENT) and not is_last):
            return ""
        self.window_start, self.shown_end = self.shown_end, len(self.ids)
        return text[len(os.path.commonprefix([shown, text])) :]  # noqa: RUF071 - characters are meant


def byte_token_ids(vocabulary: Mapping[str, int]) -> frozenset[int]:
    """Tokens such as <0x0A>, which SentencePiece models fall back to for characters that they do not know.

    A run of them decodes as a whole: one wrong byte turns all of it, also what was right so far, into U+FFFD.
    """
    return frozenset(token for text, token in vocabulary.items() if BYTE_TOKEN.fullmatch(text))


class DeltaBuffer:
    """Holds back what may still change: an unfinished grapheme, a possible stop string, a reasoning marker.

    stops: strings that end the text; they are never shown.
    reasoning: whether a reply that opens with <think> (and the like) is split into thoughts and answer.
    in_reasoning: whether the prompt itself has opened the thoughts, as some chat templates do.
    """

    def __init__(self, stops: Sequence[str] = (), *, reasoning: bool = False, in_reasoning: bool = False) -> None:
        self.stops = tuple(stops)
        self.pending = ""
        self.stopped = False  # a stop string was met: nothing more will come
        self.openers = [opener for opener, _ in REASONING_MARKERS] if reasoning and not in_reasoning else []
        self.closers = [closer for _, closer in REASONING_MARKERS] if in_reasoning else []
        self.skips_space = False  # after a marker

    @property
    def channel(self) -> Channel:
        return "reasoning" if self.closers else "text"

    def feed(self, text: str) -> list[tuple[Channel, str]]:
        """The pieces that are certain now, each with the channel it belongs to."""
        if self.stopped:
            return []
        self.pending += text
        pieces: list[tuple[Channel, str]] = []
        while self._take_marker(pieces) and not self.stopped:
            pass
        if not self.stopped:
            self._take_certain(pieces)
        return pieces

    def flush(self) -> list[tuple[Channel, str]]:
        """All that was held back, now that nothing follows."""
        pieces: list[tuple[Channel, str]] = []
        if not self.stopped:
            self._emit(pieces, len(self.pending))
        return pieces

    def _needles(self) -> Sequence[str]:
        return self.closers if self.closers else (*self.stops, *self.openers)

    def _take_marker(self, pieces: list[tuple[Channel, str]]) -> bool:
        """Acts on the first stop string or marker in what is pending, if there is one."""
        found = [(at + len(needle), at, needle) for needle in self._needles() if (at := self.pending.find(needle)) >= 0]
        if not found:
            return False
        _, at, needle = min(found)  # the one that ends first, as it would be found token by token
        opens = needle in self.openers and needle not in self.stops
        if opens and self.pending[:at].strip():  # thoughts come first; later it is only a word
            self.openers = []
            return True
        self._emit(pieces, 0 if opens else at)
        self.pending = self.pending[at if opens else 0 :][len(needle) :]
        if opens:
            self.closers, self.openers = [closer for opener, closer in REASONING_MARKERS if opener == needle], []
        elif self.closers:
            self.closers = []
        else:
            self.stopped, self.pending = True, ""
        self.skips_space = True
        return True

    def _take_certain(self, pieces: list[tuple[Channel, str]]) -> None:
        """Emits up to the last grapheme that nothing to come can change."""
        held = max((overlap(self.pending, needle) for needle in self._needles()), default=0)
        limit = len(self.pending) - held
        if not limit or (self.openers and not self.pending[:limit].strip()):
            return  # spaces before a marker are not shown
        ends = [match.end() for match in GRAPHEME.finditer(self.pending)][:-1]  # the last one may still grow
        self._emit(pieces, max((end for end in ends if end <= limit), default=0))

    def _emit(self, pieces: list[tuple[Channel, str]], end: int) -> None:
        piece, self.pending = self.pending[:end], self.pending[end:]
        if self.skips_space:
            piece = piece.lstrip("\n ")
            self.skips_space = not piece
        if piece:
            pieces.append((self.channel, piece))
            if self.channel == "text" and piece.strip():
                self.openers = []


def overlap(text: str, needle: str) -> int:
    """The length of the longest end of `text` that `needle` begins with, the whole needle excluded."""
    for length in range(min(len(text), len(needle) - 1), 0, -1):
        if text.endswith(needle[:length]):
            return length
    return 0

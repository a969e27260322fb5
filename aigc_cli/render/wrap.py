"""Styled text on the lines of a terminal: wrapped as it comes, never taken back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from aigc_cli.render.width import cells, cluster_cells, extends, may_break

Span = tuple[str, str]  # text and its style: parameters of SGR such as "1;36", or "" for none

BOLD, DIM, ITALIC, UNDERLINE, STRIKE, CYAN = "1", "2", "3", "4", "9", "36"


def join_styles(*styles: str) -> str:
    return ";".join(style for style in styles if style)


class LineWriter:
    """Wraps words to the width, and holds back the current word only.

    Each piece switches its own style on and off again, so that the terminal is clean whenever writing stops.
    """

    def __init__(self, write: Callable[[str], None], width: Callable[[], int], *, colour: bool) -> None:
        self.write, self.width, self.colour = write, width, colour
        self.first: list[Span] = []  # before the next line
        self.rest: list[Span] = []  # before every line after that
        self.line_is_open = False
        self.column = self.indent = self.limit = 0  # of the open line: cells used, where its text begins, its width
        self.word: list[Span] = []  # one span for each grapheme cluster
        self.word_cells = 0
        self.gap: Span | None = None  # the space before the word

    def begin(self, first: Sequence[Span] = (), rest: Sequence[Span] = ()) -> None:
        """Says what stands before the next line (a bullet) and before those after it (its indentation)."""
        self.first, self.rest = list(first), list(rest)

    @property
    def available(self) -> int:
        """Cells for text on a line after the first."""
        return self._room_beside(self.rest)[1]

    def put(self, text: str, style: str = "") -> None:
        """Text that is wrapped; a newline ends the line, spaces in a row count as one."""
        for char in text:
            if char == "\n":
                self.end_line()
            elif char in " \t":
                self._end_word()
                self.gap = (" ", style)
            else:
                self._add(char, style)

    def put_whole(self, word: str, style: str = "") -> None:
        """A word that no newline breaks, however wide: a path, which people copy. A terminal folds it by itself."""
        self._end_word()
        if not self.line_is_open:
            self._open_line()
        self.word, self.word_cells = [(word, style)], cells(word)
        self._end_word()

    def put_line(self, spans: Sequence[Span]) -> None:
        """One line as it stands, however wide."""
        self._open_line()
        self._paint(spans)
        self.end_line()

    def end_line(self) -> None:
        self._end_word()
        if not self.line_is_open:
            self._open_line()
        self.write("\n")
        self.line_is_open = False

    def _add(self, char: str, style: str) -> None:
        if self.word and extends(self.word[-1][0], char):
            cluster, style = self.word.pop()
            self.word_cells -= cluster_cells(cluster)
            char = cluster + char
        elif self.word and may_break(self.word[-1][0], char):
            self._end_word()
        if not self.line_is_open:
            self._open_line()
        self.word.append((char, style))
        self.word_cells += cluster_cells(char)
        if self.word_cells > self.limit - self.indent and len(self.word) > 1:
            self._break_word()

    def _break_word(self) -> None:
        """Fills a line with the beginning of a word that is longer than one."""
        last = self.word.pop()
        self.word_cells -= cluster_cells(last[0])
        self._end_word()
        self._wrap()
        self.word, self.word_cells = [last], cluster_cells(last[0])

    def _end_word(self) -> None:
        if not self.word:
            return
        if self.column > self.indent and self.column + bool(self.gap) + self.word_cells > self.limit:
            self._wrap()
        gap = [self.gap] if self.gap and self.column > self.indent else []
        self._paint([*gap, *self.word])
        self.column += len(gap) + self.word_cells
        self.word, self.word_cells, self.gap = [], 0, None

    def _wrap(self) -> None:
        self.write("\n")
        self._open_line()

    def _open_line(self) -> None:
        before, _ = self._room_beside(self.first)
        self.first = self.rest
        self._paint(before)
        self.column = self.indent = sum(cells(text) for text, _ in before)
        self.limit, self.gap, self.line_is_open = max(2, self.width()), None, True

    def _room_beside(self, before: list[Span]) -> tuple[list[Span], int]:
        """What stands before a line, without its outer parts where it would take more than half, and the cells left."""
        width = max(2, self.width())
        while (used := sum(cells(text) for text, _ in before)) > width // 2:
            before = before[1:]
        return before, width - used

    def _paint(self, spans: Sequence[Span]) -> None:
        for style, group in groupby(spans, key=lambda span: span[1] if self.colour else ""):
            text = "".join(text for text, _ in group)
            self.write(f"\x1b[{style}m{text}\x1b[0m" if style else text)

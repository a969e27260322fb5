"""Markdown on a terminal while it streams: what is written stays, and nothing is drawn twice.

Text goes out word by word, for a line's first characters settle what it is. Only what cannot be known earlier waits:
a table for its end, a line of code for its own. Each character is a step by itself, so the output does not depend on
how the text was cut. Newlines within a paragraph are kept: a model that begins a line means it. HTML and LaTeX are
shown as they stand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import regex

from aigc_cli.render.blocks import QUOTE_MARK, Container, LineStart, indentation, read_start
from aigc_cli.render.highlight import Highlighter
from aigc_cli.render.inline import InlineParser
from aigc_cli.render.markdown_table import DELIMITERS, draw_table
from aigc_cli.render.sanitize import ControlFilter
from aigc_cli.render.width import cells, clip
from aigc_cli.render.wrap import BOLD, DIM, UNDERLINE, LineWriter, Span, join_styles

HEADINGS = {1: join_styles(BOLD, UNDERLINE), 2: BOLD}  # by level
LOWER_HEADING = join_styles(BOLD, DIM)
LONGEST_START = 200  # characters; a line that is not settled by then is of a kind that needs the whole line
LONGEST_RULE = 40  # cells; one as wide as the window would break when that shrinks


@dataclass(frozen=True)
class Verbatim:
    """An open block whose lines stand as they are.

    end: matches its last line.  indent: columns that each line may lose.  highlighter: None for LaTeX.
    """

    end: regex.Pattern[str]
    indent: int
    highlighter: Highlighter | None


class MarkdownStream:
    """Draws one answer. Without colour, inline markers and the # of headings stay, so that nothing is lost."""

    def __init__(self, write: Callable[[str], None], width: Callable[[], int], *, colour: bool) -> None:
        """write: takes text for the terminal.  width: the terminal's, in cells, asked again for every line."""
        self.write, self.colour = write, colour
        self.filter = ControlFilter()
        self.drawn: list[str] = []  # and not yet written
        self.lines = LineWriter(self.drawn.append, width, colour=colour)
        self.inline = InlineParser()
        self.line = ""  # the beginning of a line that is not settled yet
        self.in_text = False  # the line is settled and goes out as it comes
        self.previous = ""  # the kind of the line before
        self.containers: tuple[Container, ...] = ()
        self.verbatim: Verbatim | None = None
        self.table: list[str] = []  # its rows so far

    def feed(self, text: str) -> None:
        """Any part of the answer, cut anywhere; control characters in it are dropped."""
        for char in self.filter.feed(text):
            self._step(char)
        self._flush()

    def finish(self) -> None:
        """Shows what was held back, also of an answer that was interrupted, and ends the line."""
        if self.line or self.in_text:
            self._step("\n")
        self._end_block()
        if self.verbatim:
            self._end_verbatim()
        self._flush()

    def _flush(self) -> None:
        if self.drawn:
            self.write("".join(self.drawn))
            self.drawn.clear()

    def _step(self, char: str) -> None:
        if self.in_text:
            self._put_text(char)
            return
        self.line += char
        if char == "\n":
            line, self.line = self.line, ""
            if not self._put_verbatim(line):
                self._start_line(line)
        elif not self.verbatim and len(self.line) <= LONGEST_START and self._start_line(self.line):
            self.line = ""

    def _start_line(self, line: str) -> bool:
        """Draws a line, or its beginning, as soon as it is settled what it is. Returns: whether it is."""
        start = read_start(line, self.containers, self.previous)
        if not start:
            return False
        if start.kind == "text" and not start.opened and self.previous == "text":
            self._put_text(start.text)  # the paragraph goes on, wherever its indentation has gone
        elif start.kind == "row" and self.table and not start.opened and start.outer == self.containers:
            self._add_row(start.text)
        elif start.kind == "blank" and not start.opened:
            self._end_block()
            self.containers = start.outer
            self.previous = self.previous and "blank"
        else:
            self._begin_block(start)
        return True

    def _begin_block(self, start: LineStart) -> None:
        self._end_block()
        if self.previous == "blank":
            self._draw_gap(start.outer)
        self.containers = start.outer + start.opened
        rest = [container.rest for container in self.containers]
        self.lines.begin([*rest[: len(start.outer)], *(container.first for container in start.opened)], rest)
        self.previous = start.kind
        match start.kind:
            case "text":
                self._put_text(start.text)
            case "heading":
                self._begin_heading(start)
            case "row":
                self.table = [start.text]
            case "fence":
                self._begin_code(start)
            case "latex":
                end = r".*\$\$\s*|\s*" if start.text.startswith("$") else r".*\\\]\s*|\s*"
                self.verbatim = Verbatim(regex.compile(end), start.indent, None)
                self.lines.put_line([(start.text.rstrip("\n"), "")])
            case "code":
                self.lines.put_line([(" " * start.indent + start.text.rstrip("\n"), "")])
            case "rule":
                self._draw_rule()
            case "blank":  # an item without text
                self.previous = "item"
                self.lines.end_line()

    def _end_block(self) -> None:
        """Draws what the end of a paragraph or table settles."""
        if len(self.table) > 1:
            draw_table(self.table, self.lines)
        elif self.table:
            self._put_text(self.table[0])
        self.table = []
        self._put(self.inline.finish())
        self.inline = InlineParser()

    def _add_row(self, row: str) -> None:
        self.table.append(row)
        if len(self.table) == 2 and not DELIMITERS.match(row):
            self._put_text("".join(self.table))
            self.table, self.previous = [], "text"

    def _begin_heading(self, start: LineStart) -> None:
        marker = start.match[0]
        level = len(marker.rstrip())
        self.inline = InlineParser(HEADINGS.get(level, LOWER_HEADING))
        self._put_text(start.text[len(marker) :] if self.colour else start.text)

    def _put_text(self, text: str) -> None:
        self._put(self.inline.feed(text) if self.colour else [(text, "")])
        self.in_text = not text.endswith("\n")

    def _put(self, spans: Iterable[Span]) -> None:
        for span in spans:
            self.lines.put(*span)

    def _begin_code(self, start: LineStart) -> None:
        fence, info = start.match.group("fence", "info")
        end = regex.compile(rf"\s{{0,{start.indent + 3}}}{fence[0]}{{{len(fence)},}}\s*")
        self.verbatim = Verbatim(end, start.indent, Highlighter(info.split(" ")[0] if self.colour else ""))
        self._draw_rule(info.strip())

    def _put_verbatim(self, line: str) -> bool:
        """Draws a line of the open verbatim block. Returns: whether there is one and the line belongs to it."""
        if not self.verbatim:
            return False
        for container in self.containers:
            if container.is_quote:
                if not (mark := QUOTE_MARK.match(line)):
                    self._end_verbatim()
                    return False
                line = line[mark.end() :]
        is_end = self.verbatim.end.fullmatch(line)
        highlighter = self.verbatim.highlighter
        if is_end and highlighter:
            self._end_verbatim()
            return True
        line = line.rstrip("\n")
        text = line[min(indentation(line), self.verbatim.indent) :].expandtabs(4)
        self.lines.put_line(highlighter.line(text) if highlighter else [(text, "")])
        if is_end:
            self._end_verbatim()
        return True

    def _end_verbatim(self) -> None:
        if self.verbatim and self.verbatim.highlighter:
            self._draw_rule()
        self.verbatim = None

    def _draw_rule(self, label: str = "") -> None:
        label = clip(f"── {label} ", self.lines.available) if label else ""
        width = min(LONGEST_RULE, self.lines.available)
        self.lines.put_line([(label + "─" * (width - cells(label)), DIM)])

    def _draw_gap(self, containers: tuple[Container, ...]) -> None:
        """A blank line, with the bars of the quotes that it stands in."""
        while containers and not containers[-1].is_quote:
            containers = containers[:-1]
        before = "".join(container.rest[0] for container in containers)
        self.lines.begin([(before.rstrip(), DIM)])
        self.lines.end_line()

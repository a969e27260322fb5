"""Two answers beside each other on a terminal, each as Markdown below its heading."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from aigc_cli.render.markdown import MarkdownStream
from aigc_cli.render.sanitize import sanitize
from aigc_cli.render.width import cells
from aigc_cli.render.wrap import BOLD, LineWriter

NARROWEST = 36  # cells of a column that can still be read
GAP = " │ "


def fits_side_by_side(count: int, width: int) -> bool:
    return column_width(count, width) >= NARROWEST


def column_width(count: int, width: int) -> int:
    return (width - len(GAP) * (count - 1)) // count


def side_by_side(answers: Sequence[tuple[str, str]], width: int, *, colour: bool) -> str:
    """Headings and texts in columns; below each other where a line (of code, of a table) is wider than its column."""
    limit = column_width(len(answers), width)
    columns = [drawn(heading, text, limit, colour=colour) for heading, text in answers]
    if any(cells(line) > limit for column in columns for line in column):
        return "\n".join("".join(f"{line}\n" for line in drawn(heading, text, width, colour=colour)) for heading, text in answers)
    rows = zip_longest(*columns, fillvalue="")
    return "".join(GAP.join(line + " " * (limit - cells(line)) for line in row).rstrip() + "\n" for row in rows)


def drawn(heading: str, text: str, width: int, *, colour: bool) -> list[str]:
    """The lines of one column."""
    pieces: list[str] = []
    title = LineWriter(pieces.append, lambda: width, colour=colour)
    title.put(sanitize(heading), BOLD)
    title.end_line()
    answer = MarkdownStream(pieces.append, lambda: width, colour=colour)
    answer.feed(text)
    answer.finish()
    return "".join(pieces).rstrip("\n").split("\n")

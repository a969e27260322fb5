"""A Markdown table, drawn when it is complete."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import zip_longest

from aigc_cli.render.inline import parse_inline
from aigc_cli.render.width import cells
from aigc_cli.render.wrap import BOLD, DIM, LineWriter, Span

DELIMITERS = re.compile(r"\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$")
BORDER = re.compile(r"(?<!\\)\|")
LINE_BREAK = re.compile(r"\s*<br\s*/?>\s*", re.IGNORECASE)
NARROWEST = 6  # cells; where a column would get less, each row becomes a list
UNLIMITED = 10**6

Align = Callable[[str, int], str]


def draw_table(rows: list[str], into: LineWriter) -> None:
    """Draws rows of Markdown, the second of which holds the delimiters, as wide as there is room."""
    header, alignments = split_row(rows[0]), [alignment(cell) for cell in split_row(rows[1])]
    alignments += [pad_right] * (len(header) - len(alignments))
    body = [fill(split_row(row), len(header)) for row in rows[2:]]
    if widths := fit([header, *body], into.available, into.colour):
        draw_grid(header, body, widths, alignments, into)
    else:
        draw_list(header, body, into)


def split_row(row: str) -> list[str]:
    row = row.strip().removeprefix("|")
    row = row[:-1] if row.endswith("|") and not row.endswith("\\|") else row
    return [LINE_BREAK.sub("\n", cell.strip().replace("\\|", "|")) for cell in BORDER.split(row)]


def fill(row: list[str], count: int) -> list[str]:
    """The row with so many cells: empty ones added, those in excess joined to the last, so that no text is lost."""
    row = row + [""] * (count - len(row))
    return [*row[: count - 1], " | ".join(row[count - 1 :])]


def alignment(delimiter: str) -> Align:
    if delimiter.endswith(":"):
        return pad_both if delimiter.startswith(":") else pad_left
    return pad_right


def pad_right(text: str, width: int) -> str:
    return text + " " * (width - cells(text))


def pad_left(text: str, width: int) -> str:
    return " " * (width - cells(text)) + text


def pad_both(text: str, width: int) -> str:
    return pad_right(" " * ((width - cells(text)) // 2) + text, width)


def fit(table: list[list[str]], available: int, colour: bool) -> list[int]:
    """The width of each column: its natural one, or less where the widest have to give way. Empty when nothing fits."""
    widths = [
        max(cells(line) for cell in column for line in wrap_cell(cell, UNLIMITED, colour=colour)) for column in zip(*table, strict=True)
    ]
    while sum(widths) + 3 * (len(widths) - 1) > available:
        widest = widths.index(max(widths))
        if widths[widest] <= NARROWEST:
            return []
        widths[widest] -= 1
    return widths


def wrap_cell(text: str, width: int, style: str = "", *, colour: bool) -> list[str]:
    """The lines of a cell, with their colours."""
    written: list[str] = []
    writer = LineWriter(written.append, lambda: width, colour=colour)
    for span in styled(text, style, colour):
        writer.put(*span)
    writer.end_line()
    return "".join(written).split("\n")[:-1]


def styled(text: str, style: str, colour: bool) -> list[Span]:
    return parse_inline(text, style) if colour else [(text, "")]


def draw_grid(header: list[str], body: list[list[str]], widths: list[int], alignments: list[Align], into: LineWriter) -> None:
    rule = [("─┼─".join("─" * width for width in widths), DIM)]
    heading, *rows = (
        [wrap_cell(cell, width, style, colour=into.colour) for cell, width in zip(row, widths, strict=True)]
        for row, style in [(header, BOLD), *((row, "") for row in body)]
    )
    draw_row(heading, widths, alignments, into)
    is_tall = any(len(cell) > 1 for row in rows for cell in row)
    for at, row in enumerate(rows):
        if at == 0 or is_tall:
            into.put_line(rule)
        draw_row(row, widths, alignments, into)


def draw_row(row: list[list[str]], widths: list[int], alignments: list[Align], into: LineWriter) -> None:
    for line in zip_longest(*row, fillvalue=""):
        spans: list[Span] = []
        for cell, width, align in zip(line, widths, alignments, strict=False):
            spans += [(" │ ", DIM), (align(cell, width), "")]
        into.put_line([*spans[1:-1], (spans[-1][0].rstrip(), "")])


def draw_list(header: list[str], body: list[list[str]], into: LineWriter) -> None:
    """For a narrow terminal: a line "header: value" for each cell, a blank one between two rows."""
    for at, row in enumerate(body or [[""] * len(header)]):
        if at:
            into.put_line([])
        for name, value in zip(header, row, strict=True):
            for span in [*styled(name, BOLD, into.colour), (": ", BOLD), *styled(value, "", into.colour)]:
                into.put(*span)
            into.end_line()

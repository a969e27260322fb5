"""Facts on stdout: aligned columns for a person, tab-separated lines for a program."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from aigc_cli.render.output import DIM, RESET, Output
from aigc_cli.render.sanitize import sanitize
from aigc_cli.render.width import cells

BOLD = "\x1b[1m"
GAP = "  "

Row = Sequence[str]


@dataclass(frozen=True)
class Section:
    """A heading and the rows below it."""

    title: str
    rows: Sequence[Row]


def write_table(output: Output, headings: Row, rows: Sequence[Row]) -> None:
    """Writes rows of equal length, the most important columns first.

    A terminal that is too narrow gets as many columns as fit, and is told so; the first is never cut. A pipe gets
    all of them, without headings.
    """
    if not output.stdout_is_terminal:
        write_tabbed(output, rows)
        return
    table = [shown(row, output) for row in (headings, *rows)]
    count = columns_that_fit(column_widths(table), room())
    heading, *body = aligned([row[:count] for row in table])
    output.write("\n".join([f"{DIM}{heading}{RESET}" if output.stdout_colour else heading, *body]) + "\n")
    if count < len(headings):
        output.note(f"left out for want of room: {', '.join(headings[count:]).lower()}; --json shows all")


def write_fields(output: Output, rows: Sequence[Row]) -> None:
    """Writes rows that begin with a name. On a terminal one that is too wide ends on a line of its own."""
    if not output.stdout_is_terminal:
        write_tabbed(output, rows)
        return
    output.write("\n".join(aligned([shown(row, output) for row in rows], room())) + "\n")


def write_sections(output: Output, sections: Sequence[Section]) -> None:
    """Writes the sections that have rows, a blank line between them: a report, for people also in a pipe."""
    limit = room() - len(GAP) if output.stdout_is_terminal else None
    blocks = []
    for section in sections:
        if section.rows:
            title = f"{BOLD}{section.title}{RESET}" if output.stdout_colour else section.title
            lines = aligned([shown(row, output) for row in section.rows], limit)
            blocks.append("\n".join([title, *(GAP + line for line in lines)]))
    output.write("\n\n".join(blocks) + "\n")


def write_tabbed(output: Output, rows: Sequence[Row]) -> None:
    output.write("".join("\t".join(map(plain, row)) + "\n" for row in rows))


def aligned(rows: Sequence[Row], limit: int | None = None) -> list[str]:
    """The rows as lines, each column as wide as its widest cell. A row beyond the limit puts its last cell below."""
    widths = column_widths(rows)
    lines = []
    for row in rows:
        padded = [cell + " " * (width - cells(cell)) for cell, width in zip(row, widths, strict=False)]
        line = GAP.join(padded).rstrip()
        if limit is None or cells(line) <= limit or len(row) < 2:
            lines.append(line)
        else:
            lines += [GAP.join(padded[:-1]).rstrip(), 2 * GAP + row[-1]]
    return lines


def column_widths(rows: Sequence[Row]) -> list[int]:
    """Cells of the widest in each column; rows may be shorter than others."""
    return [max(cells(row[at]) for row in rows if at < len(row)) for at in range(max(map(len, rows), default=0))]


def columns_that_fit(widths: Sequence[int], room: int) -> int:
    """How many columns, from the left; at least one."""
    used = 0
    for count, width in enumerate(widths):
        used += width + (len(GAP) if count else 0)
        if used > room:
            return max(1, count)
    return len(widths)


def room() -> int:
    """Cells of a line that no terminal wraps."""
    return shutil.get_terminal_size().columns - 1


def shown(row: Row, output: Output) -> list[str]:
    """The cells as they may be written: a path may hold control characters."""
    return [sanitize(plain(cell)) if output.stdout_is_terminal else plain(cell) for cell in row]


def plain(cell: str) -> str:
    """On one line, and without the character that separates columns."""
    return " ".join(cell.split()) if any(char in cell for char in "\t\n\r") else cell

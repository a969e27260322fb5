"""Rows under headings on a terminal, tab-separated lines in a pipe."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from aigc_cli.render.output import DIM, RESET, Output
from aigc_cli.render.sanitize import sanitize
from aigc_cli.render.width import cells

GAP = "  "


def write_table(output: Output, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Writes rows of equal length to stdout, the most important columns first.

    A terminal that is too narrow gets as many columns as fit, and is told so; the first is never cut. A pipe gets
    all of them, without headings.
    """
    if not output.stdout_is_terminal:
        output.write("".join("\t".join(map(plain, row)) + "\n" for row in rows))
        return
    lines = [[sanitize(plain(cell)) for cell in row] for row in (headings, *rows)]
    widths = [max(map(cells, column)) for column in zip(*lines, strict=True)]
    shown = columns_that_fit(widths, shutil.get_terminal_size().columns - 1)
    heading, *body = (GAP.join(pad(cell, width) for cell, width in zip(line[:shown], widths, strict=False)).rstrip() for line in lines)
    output.write("\n".join([f"{DIM}{heading}{RESET}" if output.stdout_colour else heading, *body]) + "\n")
    if shown < len(widths):
        output.note(f"left out for want of room: {', '.join(headings[shown:]).lower()}; --json shows all")


def columns_that_fit(widths: Sequence[int], room: int) -> int:
    """How many columns, from the left; at least one."""
    used = 0
    for shown, width in enumerate(widths):
        used += width + (len(GAP) if shown else 0)
        if used > room:
            return max(1, shown)
    return len(widths)


def write_fields(output: Output, fields: Sequence[tuple[str, str]]) -> None:
    """Writes names and values, a pair a line."""
    if not output.stdout_is_terminal:
        output.write("".join(f"{plain(name)}\t{plain(value)}\n" for name, value in fields))
        return
    width = max(cells(name) for name, _ in fields)
    output.write("".join(f"{pad(name, width)}{GAP}{sanitize(plain(value))}\n" for name, value in fields))


def plain(cell: str) -> str:
    """On one line, and without the character that separates columns."""
    return " ".join(cell.split()) if any(char in cell for char in "\t\n\r") else cell


def pad(cell: str, width: int) -> str:
    return cell + " " * (width - cells(cell))

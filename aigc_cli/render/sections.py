"""Facts in aligned columns, alone or under headings."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from aigc_cli.render.output import Output
from aigc_cli.render.sanitize import sanitize
from aigc_cli.render.width import cells

BOLD, RESET = "\x1b[1m", "\x1b[0m"

Row = tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """A heading and the rows below it."""

    title: str
    rows: tuple[Row, ...]


def render_sections(sections: Sequence[Section], output: Output) -> None:
    """Writes the sections that have rows to stdout, a blank line between them."""
    blocks = ["\n".join([heading(section.title, output), *aligned(section.rows, output, "  ")]) for section in sections if section.rows]
    output.write("\n\n".join(blocks) + "\n")


def render_rows(rows: Sequence[Row], output: Output) -> None:
    """Writes rows without a heading."""
    output.write("\n".join(aligned(rows, output)) + "\n")


def heading(title: str, output: Output) -> str:
    return f"{BOLD}{title}{RESET}" if output.stdout_colour else title


def aligned(rows: Sequence[Row], output: Output, indent: str = "") -> list[str]:
    """The rows as lines, each column as wide as its widest cell.

    On a terminal a row that is too wide puts its last cell on a line of its own, and control characters, which a
    path may hold, are left out.
    """
    shown = [[sanitize(cell) if output.stdout_is_terminal else cell for cell in row] for row in rows]
    widths = [max(cells(row[at]) for row in shown if at < len(row)) for at in range(max(map(len, shown)))]
    limit = shutil.get_terminal_size().columns if output.stdout_is_terminal else None
    return [line for row in shown for line in row_lines(row, widths, indent, limit)]


def row_lines(row: list[str], widths: list[int], indent: str, limit: int | None) -> list[str]:
    padded = [cell + " " * (width - cells(cell)) for cell, width in zip(row, widths, strict=False)]
    line = indent + "  ".join(padded).rstrip()
    if limit is None or cells(line) <= limit or len(row) < 2:
        return [line]
    return [indent + "  ".join(padded[:-1]).rstrip(), f"{indent}    {row[-1]}"]


def one_line(text: str, length: int = 60) -> str:
    """The text as one cell: without line breaks, and cut."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"

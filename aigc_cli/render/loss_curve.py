"""A small line chart made of characters."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from itertools import pairwise

LABEL = 6  # cells of the axis
BRAILLE = 0x2800
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a cell: rows from above, columns from the left
ASCII_LEVELS = "_.-'"  # of a cell, from below
NARROWEST = 4  # cells of the line itself
FEWEST = 2  # values that make a line


def draws_braille(encoding: str | None) -> bool:
    """Whether the terminal behind a stream of this encoding is likely to have these characters: the Linux console has not."""
    return "utf" in (encoding or "").lower() and os.environ.get("TERM") not in ("linux", "dumb")


def draw_curve(values: Sequence[float], width: int, height: int, *, braille: bool) -> list[str]:
    """The values as `height` lines of at most `width` cells, the highest and lowest written beside.

    Where there are more values than columns, a column shows the mean of its share. Empty where there are too few
    finite values or too few cells to tell anything.
    """
    finite = [value for value in values if math.isfinite(value)]
    with_axis = width >= LABEL + 1 + 2 * NARROWEST
    columns = width - (LABEL + 1 if with_axis else 0)
    if len(finite) < FEWEST or columns < NARROWEST or height < 1:
        return []
    points = resampled(finite, columns * 2 if braille else columns)
    low, high = min(points), max(points)
    levels = height * len(DOTS)
    rows = [level(point, low, high, levels) for point in points]
    lines = braille_lines(rows, columns, height) if braille else ascii_lines(rows, columns, height)
    return [f"{label:>{LABEL}} {line}" for label, line in zip(labels(low, high, height), lines, strict=True)] if with_axis else lines


def resampled(values: Sequence[float], count: int) -> list[float]:
    """As many values as columns: means of what falls into one, or the line between two that lie further apart."""
    if len(values) >= count:
        edges = [index * len(values) // count for index in range(count + 1)]
        return [sum(values[start:end]) / (end - start) for start, end in pairwise(edges)]
    between = []
    for index in range(count):
        position = index * (len(values) - 1) / (count - 1)
        before = min(int(position), len(values) - 2)
        share = position - before
        between.append(values[before] * (1 - share) + values[before + 1] * share)
    return between


def level(value: float, low: float, high: float, levels: int) -> int:
    """The row from above; a line without ups and downs runs in the middle."""
    share = (high - value) / (high - low) if high > low else 0.5
    return min(levels - 1, round(share * (levels - 1)))


def labels(low: float, high: float, height: int) -> list[str]:
    return [axis_label(high), *[""] * (height - 2), axis_label(low)] if height > 1 else [axis_label(low)]


def axis_label(value: float) -> str:
    """The value in at most LABEL cells."""
    text = f"{value:.3g}"
    return text if len(text) <= LABEL else f"{value:.0e}"


def braille_lines(rows: Sequence[int], columns: int, height: int) -> list[str]:
    """Two points a cell; neighbours that lie apart are joined by a vertical stroke."""
    grid = [[0] * columns for _ in range(height)]
    previous = rows[0]
    for x, row in enumerate(rows):
        nearer = previous + (1 if row > previous else -1 if row < previous else 0)
        for y in range(min(row, nearer), max(row, nearer) + 1):
            grid[y // 4][x // 2] |= DOTS[y % 4][x % 2]
        previous = row
    return ["".join(chr(BRAILLE + dots) for dots in line) for line in grid]


def ascii_lines(rows: Sequence[int], columns: int, height: int) -> list[str]:
    grid = [[" "] * columns for _ in range(height)]
    for x, row in enumerate(rows):
        grid[row // 4][x] = ASCII_LEVELS[3 - row % 4]
    return ["".join(line).rstrip() for line in grid]

"""Every combination of some values for some options: `--matrix steps=10,20 --matrix guidance_scale=5,7`."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from aigc_cli.batch.columns import Column, made
from aigc_cli.batch.rows import MAX_RESULTS
from aigc_cli.batch.source import no_column, spelled
from aigc_cli.core.errors import UsageError
from aigc_cli.data.row import BadRowError

OF_A_ROW = {
    "prompt": "write {a|b} within the prompt",
    "n": "-n says how many pictures there are of each combination",
    "filename": "the names of files come from a template",
}
Point = Mapping[str, Any]


def parse_matrix(written: Sequence[str], columns: Mapping[str, Column]) -> tuple[Point, ...]:
    """The points, the last option changing fastest; one without any value when nothing was written.

    Values are parted by commas; one that holds a comma itself stands in double quotes, as in CSV.
    Raises: UsageError.
    """
    axes: dict[str, list[Any]] = {}
    for text in written:
        name, values = parse_axis(text, columns)
        if name in axes:
            raise UsageError(f"--matrix {name} is given twice", "write all its values after one =")
        axes[name] = values
    if (points := math.prod(map(len, axes.values()))) > MAX_RESULTS:
        raise UsageError(f"--matrix makes {points:,} combinations, and a run takes {MAX_RESULTS:,} at most", "give fewer values")
    return tuple(dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values()))


def parse_axis(text: str, columns: Mapping[str, Column]) -> tuple[str, list[Any]]:
    written, equals, rest = text.partition("=")
    name = spelled(written)
    if not equals or not rest.strip():
        raise UsageError(f"--matrix {text}: an option and its values are wanted", "for example --matrix steps=10,20")
    if name in OF_A_ROW:
        raise UsageError(f"--matrix cannot change {name}", OF_A_ROW[name])
    known = [column for column in columns if column not in OF_A_ROW]
    if name not in known:
        raise UsageError(f"--matrix {text}: {no_column(name, known)}", f"there is: {', '.join(known)}")
    try:
        values = [made(name, cell, columns[name]) for cell in next(csv.reader([rest], skipinitialspace=True, strict=True))]
    except (BadRowError, csv.Error) as error:
        raise UsageError(f"--matrix {error}", "values are parted by commas, for example --matrix steps=10,20") from None
    if len(set(values)) < len(values):
        raise UsageError(f"--matrix {text}: a value is given twice", "leave out one of the two")
    return name, values

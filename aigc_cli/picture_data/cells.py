"""Where on a sheet a picture lies, as a row of an index says it."""

from __future__ import annotations

import json
from typing import Any

from aigc_cli.data.row import BadRowError, kind_of
from aigc_cli.picture_data.dataset import Cell

KEYS = ("cell", "columns", "cell_size")
FORM = "it should be a number, with columns and cell_size beside it, or [left, top, width, height]"


def cell_in(row: dict[str, Any]) -> Cell | None:
    """None where a row means the whole picture.

    cell: [left, top, width, height] in pixels, or a number from 0, counted in rows of `columns` squares with sides of `cell_size`
    pixels.  In a table all of them stand as text, and an empty field is none.
    Raises: BadRowError.
    """
    value = plain(row, "cell")
    if value is None:
        if there := next((key for key in KEYS if plain(row, key) is not None), None):
            raise BadRowError(f"it has {there}, but no cell")
        return None
    if isinstance(value, list):
        if len(value) != 4 or not all(is_whole(side) for side in value) or min(value[:2]) < 0 or min(value[2:]) < 1:
            raise BadRowError(f"cell is {json.dumps(value)[:40]}: {FORM}")
        return Cell(*value)
    if not is_whole(value) or value < 0:
        raise BadRowError(f"cell is {str(value)[:40] if is_whole(value) else kind_of(value)}: {FORM}")
    columns, side = (at_least_one(row, key) for key in KEYS[1:])
    return Cell(value % columns * side, value // columns * side, side, side)


def plain(row: dict[str, Any], key: str) -> Any:
    """The value, of a table's text the one it stands for; None where there is none."""
    value = row.get(key)
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value.strip() else None
    except (ValueError, RecursionError):
        raise BadRowError(f"{key} is {value[:40]!r}, not a number") from None


def at_least_one(row: dict[str, Any], key: str) -> int:
    value = plain(row, key)
    if value is None:
        raise BadRowError(f"cell is a number, and {key} is missing: {FORM}")
    if not is_whole(value) or value < 1:
        raise BadRowError(f"{key} is {value if is_whole(value) else kind_of(value)}, it should be 1 or more")
    return int(value)


def is_whole(value: Any) -> bool:
    return type(value) is int

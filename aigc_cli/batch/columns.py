"""The columns of a file of prompts: what makes a value of what stands in a cell."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from aigc_cli.core.elision import elided
from aigc_cli.core.errors import UsageError
from aigc_cli.core.sampler_names import known_sampler
from aigc_cli.data.row import BadRowError, kind_of

Cell = str | int | float | bool  # a table has text only
Column = Callable[[Cell], Any]  # raises ValueError or UsageError saying what is wrong with the cell

WHOLE = re.compile(r"[+-]?\d{1,20}(\.0*)?")  # 7.0 is how pandas writes 7 in a column with gaps
TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")


def image_columns(folder: Path) -> dict[str, Column]:
    """All that a row may set for itself, by the names of ImageRequest. folder: what the names of pictures are relative to.

    Only what can be told from the cell alone is checked: ranges are ImageRequest's affair, whether a scheduler fits an engine's.
    """
    picture = partial(existing_file, folder)
    return {
        "prompt": filled_text,
        "negative_prompt": text,
        "seed": whole,
        "n": count,
        "filename": filled_text,
        "width": whole,
        "height": whole,
        "steps": whole,
        "guidance_scale": number,
        "scheduler": sampler,
        "clip_skip": whole,
        "init_image": picture,
        "strength": number,
        "mask": picture,
        "outpaint": whole,
        "variation": number,
        "variation_seed": whole,
        "control_image": picture,
        "control_scale": number,
        "transparent": truth,
        "background": colour,
    }


def made(name: str, cell: Any, column: Column) -> Any:
    """The value of a cell. Raises: BadRowError, its message beginning with the column's name."""
    if isinstance(cell, (list, dict)):
        raise BadRowError(f"{name}: {kind_of(cell)}, not one value")
    try:
        return column(cell)
    except UsageError as error:
        raise BadRowError(f"{name}: {told(error)}") from None
    except ValueError as error:
        raise BadRowError(f"{name}: {error}") from None


def told(error: UsageError) -> str:
    """In one line, as one of many errors."""
    return f"{error.message}; {error.hint}" if error.hint else error.message


def text(cell: Cell) -> str:
    if not isinstance(cell, str):
        raise ValueError(f"{kind_of(cell)}, not text")
    if "\0" in cell or not is_encodable(cell):
        raise ValueError("a character that is none (NUL, or half of a surrogate pair)")
    return cell


def filled_text(cell: Cell) -> str:
    if not (value := text(cell).strip()):
        raise ValueError("empty")
    return value


def sampler(cell: Cell) -> str:
    return known_sampler(filled_text(cell))


def whole(cell: Cell) -> int:
    written = shown(cell)
    if isinstance(cell, bool) or not WHOLE.fullmatch(written):
        raise ValueError(f"{written!r} is no whole number")
    return int(written.partition(".")[0])


def count(cell: Cell) -> int:
    if (value := whole(cell)) < 1:
        raise ValueError(f"must be at least 1, not {value}")
    return value


def number(cell: Cell) -> float:
    written = shown(cell)
    if isinstance(cell, bool) or not NUMBER.fullmatch(written):
        raise ValueError(f"{written!r} is no number")
    return float(written)


def truth(cell: Cell) -> bool:
    """As JSON, spreadsheets and people write it."""
    if (value := TRUTHS.get(shown(cell).lower())) is None:
        raise ValueError(f"{shown(cell)!r} is neither true nor false")
    return value


def colour(cell: Cell) -> str:
    """A name or a hex number, as Pillow reads them."""
    from PIL import ImageColor

    name = filled_text(cell)
    try:
        levels = ImageColor.getrgb(name)
    except ValueError:
        raise UsageError(f"{elided(name)!r} is no colour", "for example white, skyblue or #ff8800") from None
    if len(levels) == 4:
        raise UsageError(f"{name!r} is a colour that one can see through", "a background has none behind it: name one without alpha")
    return name


def existing_file(folder: Path, cell: Cell) -> Path:
    path = folder / Path(filled_text(cell)).expanduser()
    try:
        is_there = path.is_file()
    except OSError as error:  # a name that is too long
        raise ValueError(f"{elided(path)}: {(error.strerror or str(error)).lower()}") from None
    if not is_there:
        raise ValueError(f"{elided(path)}: {'a folder, not a picture' if path.is_dir() else 'no such file'}")
    return path


def shown(cell: Cell) -> str:
    """As JSON and tables write it."""
    return str(cell).lower() if isinstance(cell, bool) else str(cell).strip()


def is_encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True

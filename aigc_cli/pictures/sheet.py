"""Contact sheets: many pictures on one, small, with captions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from aigc_cli.core.errors import AigcError, UsageError
from aigc_cli.pictures.fonts import Choice, choose_font, clipped
from aigc_cli.pictures.metadata import read_recipe
from aigc_cli.pictures.opening import PIXEL_LIMIT, open_file, open_picture, reading
from aigc_cli.pictures.recipe import Recipe

GAP = 8  # pixels around and between cells
GROUND, INK = "white", "#24292f"
LINES = 2  # of a caption
SMALLEST_CELL, LARGEST_CELL = 128, 256  # pixels, unless another size is asked for: a narrower one would cut most captions


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet and what is written below it, a text for each line."""

    path: Path
    caption: tuple[str, ...] = ()


@dataclass(frozen=True)
class Layout:
    """columns, rows: of cells.  cell: width and height of a picture's place in pixels; caption: height below it."""

    columns: int
    rows: int
    cell: int
    caption: int

    @property
    def size(self) -> tuple[int, int]:
        return GAP + self.columns * (self.cell + GAP), GAP + self.rows * (self.cell + self.caption + GAP)

    def corner(self, index: int) -> tuple[int, int]:
        row, column = divmod(index, self.columns)
        return GAP + column * (self.cell + GAP), GAP + row * (self.cell + self.caption + GAP)


def caption_of(path: Path, recipe: Recipe | None) -> tuple[str, ...]:
    """Prompt and seed; of a picture that does not tell them, its name."""
    if recipe is None:
        return (path.name,)
    return (recipe.prompt, *([f"seed {recipe.seed}"] if recipe.seed is not None else []))


def captioned(path: Path) -> Tile:
    """Raises: UsageError for a file that is no picture."""
    try:
        return Tile(path, caption_of(path, read_recipe(path)[0]))
    except UsageError:
        raise
    except AigcError:
        return Tile(path, caption_of(path, None))


def contact_sheet(tiles: Sequence[Tile], cell: int | None = None, columns: int | None = None) -> tuple[Image.Image, tuple[str, ...]]:
    """The sheet, and what is to be said about it. One picture is in memory at a time besides the sheet.

    cell: None makes room for the largest picture as it is, within bounds.  columns: None makes the sheet about square.
    Raises: UsageError for a picture that cannot be opened, or a sheet beyond PIXEL_LIMIT.
    """
    cell = cell or fitting_cell(tiles)
    font_size = max(10, cell // 18)
    lines = max((len(tile.caption) for tile in tiles), default=0)
    columns = min(len(tiles), columns or math.ceil(math.sqrt(len(tiles))))
    layout = Layout(columns, math.ceil(len(tiles) / columns), cell, min(lines, LINES) * round(font_size * 1.5))
    if math.prod(layout.size) > PIXEL_LIMIT:
        width, height = layout.size
        raise UsageError(f"a sheet of {width} x {height} pixels is too large", "use a smaller --cell, or fewer pictures")
    choice = choose_font("".join(line for tile in tiles for line in tile.caption), font_size)
    sheet = Image.new("RGB", layout.size, GROUND)
    draw = ImageDraw.Draw(sheet)
    for index, tile in enumerate(tiles):
        left, top = layout.corner(index)
        picture = thumbnail(tile.path, cell)
        sheet.paste(picture, (left + (cell - picture.width) // 2, top + (cell - picture.height) // 2))
        write_caption(draw, (left, top + cell), tile.caption, choice, cell)
    return sheet, tuple(remarks_on(choice))


def fitting_cell(tiles: Sequence[Tile]) -> int:
    """Pixels. Raises: UsageError for a file that is no picture."""
    longest = 0
    for tile in tiles:
        with reading(tile.path), open_file(tile.path) as image:
            longest = max(longest, *image.size)
    return min(max(longest, SMALLEST_CELL), LARGEST_CELL)


def thumbnail(path: Path, side: int) -> Image.Image:
    """The picture within a square of so many pixels; a smaller one stays as it is. Raises: UsageError."""
    picture, _ = open_picture(path)
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture


def write_caption(draw: ImageDraw.ImageDraw, corner: tuple[int, int], caption: Iterable[str], choice: Choice, width: int) -> None:
    left, top = corner
    for number, line in enumerate(list(caption)[:LINES]):
        text = clipped(" ".join(line.split()), choice.font, width)
        draw.text((left, top + round((number * 1.5 + 0.2) * choice.font.size)), text, fill=INK, font=choice.font)


def remarks_on(choice: Choice) -> Iterable[str]:
    if choice.missing:
        some = choice.missing[:10] + ("…" if len(choice.missing) > 10 else "")
        yield f"no font on this system has {some}: the captions show boxes there (a font for them: Noto Sans CJK)"

"""Pictures as text: an upper half block in two colours is two pixels, one above the other."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from PIL import Image

Depth = Literal["true", "256", "16"]
Pixel = tuple[int, int, int] | int  # RGB, or a colour's number on the terminal

HALF_BLOCK = "▀"
RESET = "\x1b[0m"

# xterm's colours, which most terminals begin with. 16 to 255 are the same everywhere: a cube of six levels, then greys.
ANSI = (
    *((0, 0, 0), (205, 0, 0), (0, 205, 0), (205, 205, 0), (0, 0, 238), (205, 0, 205), (0, 205, 205), (229, 229, 229)),
    *((127, 127, 127), (255, 0, 0), (0, 255, 0), (255, 255, 0), (92, 92, 255), (255, 0, 255), (0, 255, 255), (255, 255, 255)),
)
LEVELS = (0, 95, 135, 175, 215, 255)
XTERM = (*itertools.product(LEVELS, repeat=3), *((grey, grey, grey) for grey in range(8, 248, 10)))


def half_blocks(image: Image.Image, columns: int, depth: Depth) -> list[str]:
    """Lines of so many cells, each of which ends in the terminal's own colours. A cell counts as twice as high as it is wide.

    With 16 colours the picture is dithered, or most of it would be grey; with 256 the nearest look better on pixels so large.
    """
    height = max(1, round(image.height * columns / image.width))
    pixels = pixels_of(image, (columns, height), depth)
    rows = [pixels[start : start + columns] for start in range(0, len(pixels), columns)]
    return [line(upper, lower) for upper, lower in itertools.zip_longest(rows[::2], rows[1::2])]


def pixels_of(image: Image.Image, size: tuple[int, int], depth: Depth) -> list[Pixel]:
    """The picture in that size, row by row."""
    from PIL import Image

    small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    if depth == "true":
        return list(zip(*(channel.tobytes() for channel in small.split()), strict=True))
    first = 16 if depth == "256" else 0
    dither = Image.Dither.FLOYDSTEINBERG if depth == "16" else Image.Dither.NONE
    return [first + index for index in small.quantize(palette=palette(depth), dither=dither).tobytes()]


@cache
def palette(depth: Depth) -> Image.Image:
    """A picture that has the terminal's colours as its palette."""
    from PIL import Image

    colours = XTERM if depth == "256" else ANSI
    holder = Image.new("P", (1, 1))
    holder.putpalette([value for colour in colours for value in colour])
    return holder


def line(upper: Iterable[Pixel], lower: Iterable[Pixel] | None) -> str:
    """Two rows of pixels as one line; colours are named where they change."""
    parts = []
    before: tuple[Pixel | None, Pixel | None] = (None, None)
    for cell in zip(upper, lower if lower is not None else itertools.repeat(None)):  # noqa: B905 - the one has no end
        codes = [code(pixel, base) for pixel, last, base in zip(cell, before, (30, 40), strict=True) if pixel is not None and pixel != last]
        parts.append((f"\x1b[{';'.join(codes)}m" if codes else "") + HALF_BLOCK)
        before = cell
    return "".join(parts) + RESET


def code(pixel: Pixel, base: int) -> str:
    """What selects a colour (ECMA-48, 8.3.117; ITU-T T.416). base: 30 for what is written, 40 for its ground."""
    if isinstance(pixel, tuple):
        return f"{base + 8};2;{pixel[0]};{pixel[1]};{pixel[2]}"
    if pixel >= 16:
        return f"{base + 8};5;{pixel}"
    return str(base + pixel if pixel < 8 else base + 60 + pixel - 8)

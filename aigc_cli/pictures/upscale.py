"""Larger pictures: by interpolation, or through a function that enlarges tiles of them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import pairwise

from PIL import Image, ImageChops

from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Progress
from aigc_cli.pictures.metadata import Format
from aigc_cli.pictures.opening import PIXEL_LIMIT

OVERLAP = 32  # pixels that neighbouring tiles share
SIDE_LIMITS: dict[Format, int] = {"jpeg": 65_500, "webp": 16_383}  # pixels; as far as Pillow's encoders go

Enlarge = Callable[[Image.Image], Image.Image]


@dataclass(frozen=True)
class Tile:
    """A part of a picture along one side, in its pixels. shared: how many of them are the tile's before, too."""

    start: int
    stop: int
    shared: int


def target_size(size: tuple[int, int], scale: float, form: Format) -> tuple[int, int]:
    """Raises: UsageError for a picture that no program could open again, or that its format cannot hold."""
    width, height = (max(1, round(side * scale)) for side in size)
    if width * height > PIXEL_LIMIT:
        hint = f"{PIXEL_LIMIT // 10**6} million are the limit: use a smaller --scale"
        raise UsageError(f"{width} x {height} pixels are too many", hint)
    if max(width, height) > SIDE_LIMITS.get(form, PIXEL_LIMIT):
        raise UsageError(
            f"{form} holds at most {SIDE_LIMITS[form]} pixels a side, not {width} x {height}", "use a smaller --scale, or a PNG"
        )
    return width, height


def lanczos(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The same picture in more or fewer pixels (windowed sinc of three lobes). It adds no detail."""
    return image.resize(size, Image.Resampling.LANCZOS)


def enlarge_tiled(image: Image.Image, enlarge: Enlarge, scale: int, tile: int) -> Generator[Progress, None, Image.Image]:
    """The picture, enlarged in tiles that overlap and fade into each other, so that memory depends on the tile alone.

    enlarge: a tile -> the same `scale` times as wide and high.  tile: its longest side in pixels, more than 2 * OVERLAP.
    """
    rows, columns = tiles(image.height, tile), tiles(image.width, tile)
    canvas = Image.new("RGB", (image.width * scale, image.height * scale))
    total = len(rows) * len(columns)
    yield Progress(phase="upscale", done=0, total=total, unit="tiles")
    for done, (row, column) in enumerate(((row, column) for row in rows for column in columns), start=1):
        larger = enlarge(image.crop((column.start, row.start, column.stop, row.stop)))
        canvas.paste(larger, (column.start * scale, row.start * scale), fade(larger.size, column.shared * scale, row.shared * scale))
        yield Progress(phase="upscale", done=done, total=total, unit="tiles")
    return canvas


def tiles(length: int, tile: int) -> list[Tile]:
    """Covers a side with tiles of one size; the last begins earlier rather than being smaller."""
    last = max(0, length - tile)
    starts = sorted({*range(0, last, tile - OVERLAP), last})
    return list(spans(starts, min(tile, length)))


def spans(starts: list[int], size: int) -> Iterator[Tile]:
    yield Tile(starts[0], starts[0] + size, 0)
    for before, start in pairwise(starts):
        yield Tile(start, start + size, before + size - start)


def fade(size: tuple[int, int], left: int, top: int) -> Image.Image:
    """How much of a tile counts, where so many pixels of it lie on the tiles before. What lies at its very edge does not count:
    a network that sees nothing beyond it guesses there, at the edges of the others as well.
    """
    across = Image.frombytes("L", (size[0], 1), ramp(size[0], left)).resize(size, Image.Resampling.NEAREST)
    down = Image.frombytes("L", (1, size[1]), ramp(size[1], top)).resize(size, Image.Resampling.NEAREST)
    return ImageChops.multiply(across, down)


def ramp(length: int, shared: int) -> bytes:
    """0 in the first quarter of the shared pixels, 255 from the last on, a straight line between."""
    middle = max(1.0, shared / 2)
    return bytes(round(255 * min(1.0, max(0.0, (at + 0.5 - shared / 4) / middle))) if at < shared else 255 for at in range(length))

"""Few shapes for pictures of all proportions, so that those of one batch are alike and little of any is cut off.

As in NovelAI's aspect ratio bucketing, but with fixed proportions in place of every multiple of a side: of the shapes between two
multiples most would hold a picture or two, and a batch is of one shape.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Caution
from aigc_cli.picture_data.dataset import PictureRow

PROPORTIONS = (1.0, 5 / 4, 3 / 2, 16 / 9, 9 / 4)  # of the long side to the short one: up to 2.7 no picture loses more than a fifth
MUCH = 0.2  # of a picture's area


@dataclass(frozen=True, order=True)
class Shape:
    """Pixels that pictures are brought to."""

    width: int
    height: int

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


@dataclass(frozen=True)
class Fit:
    """How a picture is brought to its shape: scaled until it covers it, then cut alike on both sides.

    cut: share of its area that is lost.  scale: above 1 it is enlarged.
    sizes: height and width of the original, top and left of what is kept (in pixels after scaling), height and width that are
    learnt: what Stable Diffusion XL is told of a picture (Podell et al. 2023, arXiv:2307.01952, section 2.2).
    """

    shape: Shape
    cut: float
    scale: float
    sizes: tuple[int, int, int, int, int, int]


def settled_resolution(asked: int | None, own: int, multiple: int) -> tuple[int, tuple[Caution, ...]]:
    """The side to train at, a multiple of what the model takes, and a word where that is not what was asked for.

    Rounded, as `aigc image` rounds a size: pictures are scaled in any case. Raises: UsageError for less than one multiple.
    """
    if asked is None:
        return max(multiple, own - own % multiple), ()
    if asked < multiple:
        raise UsageError(f"--resolution {asked} is too small: this model takes multiples of {multiple} pixels", f"at least {multiple}")
    rounded = multiple * math.floor(asked / multiple + 0.5)
    if rounded == asked:
        return asked, ()
    return rounded, (Caution(message=f"--resolution {asked} is taken as {rounded}: this model takes multiples of {multiple} pixels"),)


def shapes(resolution: int, multiple: int) -> tuple[Shape, ...]:
    """Of about resolution x resolution pixels each, in all proportions, upright and lying."""

    def side(length: float) -> int:
        return max(multiple, multiple * round(length / multiple))

    found = set()
    for proportion in PROPORTIONS:
        long, short = side(resolution * math.sqrt(proportion)), side(resolution / math.sqrt(proportion))
        found |= {Shape(long, short), Shape(short, long)}
    return tuple(sorted(found))


def fit(width: int, height: int, among: Sequence[Shape]) -> Fit:
    """To the shape whose proportions are nearest."""
    shape = min(among, key=lambda each: abs(math.log((width * each.height) / (height * each.width))))
    scale = max(shape.width / width, shape.height / height)
    scaled_width, scaled_height = round(width * scale), round(height * scale)
    cut = 1 - (shape.width * shape.height) / (width * scale * height * scale)
    top, left = (scaled_height - shape.height) // 2, (scaled_width - shape.width) // 2
    return Fit(shape, cut, scale, (height, width, top, left, shape.height, shape.width))


def remarks(rows: Sequence[PictureRow], fits: Sequence[Fit]) -> Iterator[Caution]:
    """What becomes of pictures that do not suit, in numbers."""
    much = [(each.cut, row) for row, each in zip(rows, fits, strict=True) if each.cut > MUCH]
    if much:
        worst, row = max(much, key=lambda pair: pair[0])
        message = f"{len(much):,} of {len(rows):,} pictures lose more than a fifth of their area, cut off on both sides to fit a shape"
        yield Caution(message=message, hint=f"{row.origin} loses most, {worst:.0%}: cut such pictures yourself")
    enlarged = [each.scale for each in fits if each.scale > 1]
    if enlarged:
        message = f"{len(enlarged):,} of {len(rows):,} pictures are smaller than what is learnt: enlarged up to {max(enlarged):.2g} times"
        yield Caution(message=message, hint="a lower --resolution, or larger pictures, make sharper results")

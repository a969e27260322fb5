"""Pictures put together by rule, so that a model learns what "left of", "three" and "on a blue background" mean."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from captions import COUNTS, Phrase, Style, Thing, alone, beside, in_style, on_background, several
from PIL import Image

CELL = 64
COLOURS = {
    "red": ("红色", (214, 48, 49)),
    "orange": ("橙色", (243, 146, 55)),
    "yellow": ("黄色", (250, 211, 72)),
    "green": ("绿色", (76, 175, 80)),
    "blue": ("蓝色", (52, 120, 220)),
    "purple": ("紫色", (142, 85, 190)),
    "pink": ("粉色", (248, 165, 194)),
    "brown": ("棕色", (141, 100, 70)),
    "grey": ("灰色", (160, 160, 165)),
    "black": ("黑色", (25, 25, 28)),
    "white": ("白色", (255, 255, 255)),
}
PLACES = {  # left upper corners and sides, in pixels
    "alone": ((6, 6, 52),),
    "across": ((1, 16, 31), (32, 16, 31)),
    "upright": ((16, 1, 31), (16, 32, 31)),
    2: ((1, 16, 31), (32, 16, 31)),
    3: ((17, 2, 30), (2, 32, 30), (32, 32, 30)),
    4: ((2, 2, 30), (32, 2, 30), (2, 32, 30), (32, 32, 30)),
}
ALSO_COLOURED = 0.25  # of those that show several things


@dataclass(frozen=True)
class Composition:
    picture: Image.Image
    captions: list[str]


def compose(things: Sequence[Thing], cells: Mapping[str, Image.Image], style: Style, draw: random.Random) -> Composition:
    """things: at least two, whose names can be counted by.  cells: a picture of each, by its id, in this style."""
    kind = draw.choice(("background", "beside", "several"))
    shown, places, phrases = arrangement(kind, things, draw)
    picture = placed([cells[thing.id] for thing in shown], places)
    if kind == "background" or draw.random() < ALSO_COLOURED:
        names = [name for name in COLOURS if (name, style.word) != ("black", "silhouette")]
        colour = draw.choice(names)
        zh, rgb = COLOURS[colour]
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, (*rgb, 255)), picture)
        phrases = on_background(phrases, colour, zh)
    return Composition(picture, in_style(phrases, style))


def arrangement(
    kind: str, things: Sequence[Thing], draw: random.Random
) -> tuple[list[Thing], tuple[tuple[int, int, int], ...], list[Phrase]]:
    """What is shown, where, and what may be said of it."""
    if kind == "background":
        thing = draw.choice(things)
        return [thing], PLACES["alone"], alone(thing)
    if kind == "beside":
        first, second = draw.sample(things, 2)
        is_upright = draw.random() < 0.5
        return [first, second], PLACES["upright" if is_upright else "across"], beside(first, second, is_upright)
    thing, count = draw.choice(things), draw.choice(list(COUNTS))
    return [thing] * count, PLACES[count], several(thing, count)


def placed(cells: Sequence[Image.Image], places: Sequence[tuple[int, int, int]]) -> Image.Image:
    picture = Image.new("RGBA", (CELL, CELL), (0, 0, 0, 0))
    for cell, (left, top, side) in zip(cells, places, strict=True):
        picture.alpha_composite(cell.resize((side, side), Image.Resampling.LANCZOS), (left, top))
    return picture

"""Fonts for captions: Pillow's own for Latin, one of the system's for what that lacks, above all Chinese."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from PIL import ImageFont

# widespread fonts with Chinese, Japanese or Korean, by their files' names; Pillow looks in the system's font folders
WITH_CJK = (
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "NotoSansSC-Regular.otf",
    "SourceHanSansSC-Regular.otf",
    "SourceHanSansCN-Regular.otf",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "STHeiti Light.ttc",
    "Arial Unicode.ttf",
    "msyh.ttc",
    "simhei.ttf",
    "simsun.ttc",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "DroidSansFallback.ttf",
    "uming.ttc",
)
WITH_MUCH = ("DejaVuSans.ttf", "Arial.ttf", "arial.ttf")  # Greek, Cyrillic and more
NO_CHARACTER = "\U0010ffff"  # drawn as what a font has for characters that it lacks

Font = ImageFont.FreeTypeFont


@dataclass(frozen=True)
class Choice:
    """A font, and the characters of the text that it lacks."""

    font: Font
    missing: str


def choose_font(text: str, size: int) -> Choice:
    """The first font that has all of the text, else the one that lacks least. size: pixels."""
    best: Choice | None = None
    for name in ("", *WITH_MUCH, *WITH_CJK):
        if (font := load(name, size)) is None:
            continue
        choice = Choice(font, "".join(sorted({char for char in text if not char.isspace() and lacks(font, char)})))
        if best is None or len(choice.missing) < len(best.missing):
            best = choice
        if not choice.missing:
            break
    assert best is not None  # Pillow's own font is always there
    return best


@cache
def load(name: str, size: int) -> Font | None:
    try:
        font = ImageFont.truetype(name, size) if name else ImageFont.load_default(size)
    except OSError:
        return None
    return font if isinstance(font, Font) else None


@cache
def lacks(font: Font, char: str) -> bool:
    """Whether the font has no picture of the character; Pillow can tell only by what it draws instead."""
    return char > "~" and bytes(font.getmask(char)) == bytes(font.getmask(NO_CHARACTER))


def clipped(text: str, font: Font, width: float) -> str:
    """The beginning of the text that is so many pixels wide, with an ellipsis where it was cut."""
    if font.getlength(text) <= width:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if font.getlength(text[:middle].rstrip() + "…") <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "…"

"""What may be said of a picture, in English and in Chinese: the more ways it was called by, the freer a prompt may be.

A picture has several captions, of which training draws one each time; one that stands there twice is drawn twice as often.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

VOWELS = "aeiou"
PLURAL_ALREADY = {
    "jeans", "glasses", "sunglasses", "shorts", "goggles", "gloves", "socks", "scissors", "skis", "fries", "headphones", "scales",
}  # fmt: skip
NOT_COUNTED = {
    "bread", "popcorn", "spaghetti", "sushi", "garlic", "salt", "soap", "coral", "rain", "wood", "fire", "milk", "honey", "bacon", "butter",
}  # fmt: skip
HARD_TO_COUNT = (" with ", " and ", " of ", "face")  # "two fork and knifes"
COUNTS = {2: ("two", "两"), 3: ("three", "三"), 4: ("four", "四")}


@dataclass(frozen=True)
class Style:
    """How a set of pictures is drawn, in a word; and what else it is called by."""

    word: str
    zh: str
    others: tuple[str, ...] = ()


STYLES = {
    "fluent3d": Style("3d", "立体", ("fluent 3d",)),
    "fluentflat": Style("flat", "扁平", ("fluent flat",)),
    "noto": Style("detailed", "精细", ("noto",)),
    "twemoji": Style("bold", "鲜明", ("twemoji",)),
    "emojitwo": Style("cartoon", "卡通", ("emojitwo",)),
    "fxemoji": Style("plain", "朴素", ("fxemoji",)),
    "gameicons": Style("silhouette", "剪影", ("game icon",)),
}


@dataclass(frozen=True)
class Thing:
    """names, zh: the first is the usual one; zh may be empty.  keywords: words that have to do with it.  is_animal: for 一只."""

    id: str
    names: tuple[str, ...]
    zh: tuple[str, ...]
    keywords: tuple[str, ...]
    zh_keywords: tuple[str, ...]
    is_animal: bool

    @property
    def measure(self) -> str:
        return "只" if self.is_animal else "个"


@dataclass(frozen=True)
class Phrase:
    """What a picture shows, without its style, in both languages; zh may be empty."""

    en: str
    zh: str


def is_plural(name: str) -> bool:
    last = name.split()[-1]
    return last in PLURAL_ALREADY or (last.endswith("s") and not last.endswith(("ss", "us", "is", "bus")))


def with_article(name: str) -> str:
    if is_plural(name) or name.split()[-1] in NOT_COUNTED:
        return name
    return f"{'an' if name[0].lower() in VOWELS else 'a'} {name}"


def can_be_counted(thing: Thing) -> bool:
    """Whether "three apples" can be said of it without knowing more than its name."""
    name = thing.names[0]
    return not is_plural(name) and name.split()[-1] not in NOT_COUNTED and not any(part in name for part in HARD_TO_COUNT)


def plural(name: str) -> str:
    irregular = {"mouse": "mice", "goose": "geese", "sheep": "sheep", "fish": "fish", "deer": "deer", "shrimp": "shrimp", "ox": "oxen"}
    *rest, last = name.split()
    if last in irregular:
        last = irregular[last]
    elif last.endswith(("s", "x", "ch", "sh")):
        last += "es"
    elif last.endswith("y") and last[-2] not in VOWELS:
        last = last[:-1] + "ies"
    elif last.endswith("f"):
        last = last[:-1] + "ves"
    else:
        last += "s"
    return " ".join([*rest, last])


def captions_of(thing: Thing, style: Style, draw: random.Random) -> list[str]:
    """Of one thing alone, its style nearly always named."""
    found = []
    for name in (thing.names[0], *thing.names):
        found += [f"{name}, {style.word}", f"{with_article(name)}, {style.word}"]
    usual = thing.names[0]
    found += [
        with_article(f"{style.word} {usual}"),
        f"{usual} in {style.word} style",
        f"{draw.choice(thing.names)}, {draw.choice(style.others)}",
        with_article(draw.choice(thing.names)),
    ]
    if thing.keywords:
        found.append(f"{draw.choice(thing.keywords)}, {style.word}")
    for name in (*thing.zh[:1], *thing.zh):
        found += [f"{name}，{style.zh}", f"一{thing.measure}{name}，{style.zh}"]
    if thing.zh:
        found += [f"{style.zh}的{thing.zh[0]}", f"{thing.zh[0]}，{style.zh}风格", f"一{thing.measure}{draw.choice(thing.zh)}"]
    if thing.zh_keywords:
        found.append(f"{draw.choice(thing.zh_keywords)}，{style.zh}")
    return found


def in_style(phrases: Sequence[Phrase], style: Style) -> list[str]:
    english = [f"{phrase.en}, {style.word}" for phrase in phrases]
    return english + [f"{phrase.zh}，{style.zh}" for phrase in phrases if phrase.zh]


def beside(first: Thing, second: Thing, is_upright: bool) -> list[Phrase]:
    """first: the left one, or the upper one."""
    one, other = with_article(first.names[0]), with_article(second.names[0])
    zh = bool(first.zh and second.zh)

    def phrase(en: str, chinese: str) -> Phrase:
        return Phrase(en, chinese.format(first.zh[0], second.zh[0]) if zh else "")

    if is_upright:
        return [phrase(f"{one} above {other}", "{0}在{1}上面"), phrase(f"{other} below {one}", "{1}在{0}下面")]
    return [
        phrase(f"{one} left of {other}", "{0}在{1}左边"),
        phrase(f"{other} right of {one}", "{1}在{0}右边"),
        phrase(f"{one} and {other}", "{0}和{1}"),
    ]


def several(thing: Thing, count: int) -> list[Phrase]:
    word, zh = COUNTS[count]
    return [Phrase(f"{word} {plural(thing.names[0])}", f"{zh}{thing.measure}{thing.zh[0]}" if thing.zh else "")]


def alone(thing: Thing) -> list[Phrase]:
    return [Phrase(with_article(thing.names[0]), thing.zh[0] if thing.zh else "")]


def on_background(phrases: Sequence[Phrase], colour: str, colour_zh: str) -> list[Phrase]:
    article = "an" if colour[0] in VOWELS else "a"
    worded = []
    for phrase in phrases:
        joined = f"{colour_zh}背景上{'，' if '在' in phrase.zh else '的'}{phrase.zh}"
        worded.append(Phrase(f"{phrase.en} on {article} {colour} background", joined if phrase.zh else ""))
        worded.append(Phrase(f"{phrase.en}, {colour} background", f"{phrase.zh}，{colour_zh}背景" if phrase.zh else ""))
    return worded

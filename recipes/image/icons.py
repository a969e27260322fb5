"""The pictures that builtin:image learns from: icons of everyday things in seven styles, and compositions of them.

    python recipes/image/icons.py DATA icons/ [--things 578] [--photographs 20]

DATA holds emoji.jsonl with the sheets emoji_STYLE.webp, and gameicons.jsonl with its sheet (64 x 64 pixels a cell, 64 cells a row);
with --photographs also flowers and fruits360. icons/ then holds

    train/metadata.jsonl      what is learnt: cells of the sheets beside it, each with its captions
    heldout/metadata.jsonl    pairs of a thing and a style that are never learnt, though thing and style are, and what to ask for
    CREDITS.md                who drew them

The same data give the same files. There are no flags, no people and no skin tones among them, and nothing that asks for share-alike.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from captions import STYLES, Style, Thing, can_be_counted, captions_of
from compositions import CELL, compose
from PIL import Image

ROW = 64  # cells of a row, in the sheets that are read
COLUMNS = 32  # of the sheets that are written
GROUPS = ("animals-nature", "food-drink", "travel-places", "objects", "activities", "smileys-emotion")
FALSE_FRIENDS = {"rock", "bulb", "mouse"}  # game icons that show another thing: a fist, an onion, a computer's
HELD_OUT = 300  # pairs
OTHER_STYLES = 3  # in which a thing that is held out in one is learnt, at least
COMPOSED = 0.15  # of all pictures
CREDITS = """# Pictures that builtin:image learnt from

Fluent Emoji, (c) Microsoft, MIT. Noto Emoji, (c) Google, Apache-2.0. Twemoji, (c) Twitter, Inc and other contributors, CC BY 4.0.
EmojiTwo, CC BY 4.0. FxEmojis, (c) Mozilla, CC BY 4.0. Names: Unicode CLDR, (c) Unicode, Inc.
"""


@dataclass(frozen=True)
class Icon:
    thing: Thing
    style: str  # a key of STYLES
    picture: Image.Image


@dataclass(frozen=True)
class Item:
    """A picture to be written. more: what stands in its row besides."""

    picture: Image.Image
    captions: Sequence[str]
    more: dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--things", type=int, default=578, help="how many, the clearest first")
    parser.add_argument("--photographs", type=int, default=0, help="of each kind of flower and fruit")
    options = parser.parse_args()
    things = read_things(options.data, options.things)
    icons = [*emoji(options.data, things), *game_icons(options.data, list(things))]
    learnt, held_out = split(icons)
    items = [Item(icon.picture, captions_of(icon.thing, STYLES[icon.style], drawing("captions", icon)), {}) for icon in learnt]
    items += compositions(learnt, round(len(learnt) * COMPOSED / (1 - COMPOSED)))
    items += photographs(options.data, options.photographs) if options.photographs else []
    write(options.output / "train", items)
    write(options.output / "heldout", [asked_for(icon) for icon in held_out])
    (options.output / "CREDITS.md").write_text(credits(options.data, icons), "utf-8")
    print(f"{len(things)} things, {len(items)} pictures ({len(learnt)} of one thing), {len(held_out)} pairs held out")


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def read_things(data: Path, count: int) -> dict[Thing, dict[str, int]]:
    """The first of things.txt, each with its cell in every style's sheet."""
    records: dict[str, dict[str, Any]] = {}
    for record in read_jsonl(data / "emoji.jsonl"):
        if record["group"] in GROUPS:
            records.setdefault(record["en"], record)
    lines = (Path(__file__).parent / "things.txt").read_text("utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    found = {}
    for line in wanted:
        name, _, others = line.partition(":")
        if name in records and len(found) < count:
            found[thing_of(records[name], [other.strip() for other in others.split(",") if other.strip()])] = records[name]["cells"]
    return found


def thing_of(record: dict[str, Any], others: Sequence[str]) -> Thing:
    """others: what it is called besides, in both languages."""
    chinese = [name for name in (record["zh"], *others) if name and not name.isascii()]
    english = [record["en"], *(name for name in others if name.isascii())]
    animal = {"animal", "bird", "insect", "fish"} & set(record["keywords"])
    return Thing(
        id=record["id"],
        names=tuple(dict.fromkeys(english)),
        zh=tuple(dict.fromkeys(chinese)),
        keywords=tuple(record["keywords"]),
        zh_keywords=tuple(record["zh_keywords"]),
        is_animal=record["group"] == "animals-nature" and bool(animal),
    )


def cell(sheet: Image.Image, number: int) -> Image.Image:
    left, top = number % ROW * CELL, number // ROW * CELL
    return sheet.crop((left, top, left + CELL, top + CELL))


def emoji(data: Path, things: dict[Thing, dict[str, int]]) -> Iterable[Icon]:
    for style in STYLES:
        if style == "gameicons":
            continue
        sheet = Image.open(data / f"emoji_{style}.webp").convert("RGBA")
        yield from (Icon(thing, style, cell(sheet, cells[style])) for thing, cells in things.items() if style in cells)


def game_icons(data: Path, things: Sequence[Thing]) -> Iterable[Icon]:
    """Those called as a thing is, the first of each: black, as opaque as the sheet is white."""
    by_name = {name: thing for thing in reversed(things) for name in reversed(thing.names) if name not in FALSE_FRIENDS}
    sheets: dict[str, Image.Image] = {}
    taken = set()
    for record in read_jsonl(data / "gameicons.jsonl"):
        thing = by_name.get(record["name"])
        if thing is None or thing.id in taken:
            continue
        taken.add(thing.id)
        if record["sheet"] not in sheets:
            sheets[record["sheet"]] = Image.open(data / record["sheet"]).convert("L")
        picture = Image.new("RGBA", (CELL, CELL), (0, 0, 0, 0))
        picture.putalpha(cell(sheets[record["sheet"]], record["cell"]))
        yield Icon(thing, "gameicons", picture)


def split(icons: Sequence[Icon]) -> tuple[list[Icon], list[Icon]]:
    """What is learnt, and the pairs that are held out: chosen by their hash, one of a thing at most."""
    styles: dict[str, int] = {}
    for icon in icons:
        styles[icon.thing.id] = styles.get(icon.thing.id, 0) + 1
    held_out: dict[str, Icon] = {}
    for icon in sorted(icons, key=lambda icon: digest("held out", icon)):
        if len(held_out) < HELD_OUT and icon.thing.id not in held_out and styles[icon.thing.id] > OTHER_STYLES:
            held_out[icon.thing.id] = icon
    return [icon for icon in icons if held_out.get(icon.thing.id) is not icon], list(held_out.values())


def digest(purpose: str, icon: Icon) -> str:
    return hashlib.sha256(f"{purpose} {icon.thing.id} {icon.style}".encode()).hexdigest()


def drawing(purpose: str, icon: Icon) -> random.Random:
    return random.Random(digest(purpose, icon))


def compositions(icons: Sequence[Icon], count: int) -> list[Item]:
    draw = random.Random(0)
    by_style: dict[str, list[Icon]] = {}
    for icon in icons:
        by_style.setdefault(icon.style, []).append(icon)
    pictures = {style: {icon.thing.id: icon.picture for icon in of_style} for style, of_style in by_style.items()}
    countable = {style: [icon.thing for icon in of_style if can_be_counted(icon.thing)] for style, of_style in by_style.items()}
    styles = [style for style, things in countable.items() if len(things) > 1]
    items = []
    for _ in range(count if styles else 0):
        style = draw.choice(styles)
        made = compose(countable[style], pictures[style], STYLES[style], draw)
        items.append(Item(made.picture, made.captions, {}))
    return items


def asked_for(icon: Icon) -> Item:
    style: Style = STYLES[icon.style]
    thing = icon.thing
    prompts = [f"{thing.names[0]}, {style.word}", *(f"{name}，{style.zh}" for name in thing.zh[:1])]
    return Item(icon.picture, prompts, {"thing": thing.names[0], "style": style.word})


def photographs(data: Path, most: int) -> list[Item]:
    """Up to `most` of each kind, the first that there are."""
    items, taken = [], dict[str, int]()
    for name in ("flowers", "fruits360"):
        sheets: dict[str, Image.Image] = {}
        for record in read_jsonl(data / f"{name}.jsonl"):
            label = record.get("en") or record["label"].lower()
            taken[label] = taken.get(label, 0) + 1
            if taken[label] > most:
                continue
            sheet = sheets.setdefault(record["sheet"], Image.open(data / record["sheet"]).convert("RGBA"))
            zh = record.get("zh")
            captions = [f"{label}, photo", f"a photo of {label}", *([f"{zh}，照片", f"{zh}的照片"] if zh else [])]
            items.append(Item(cell(sheet, record["cell"]), captions, {}))
    return items


def write(folder: Path, items: Sequence[Item]) -> None:
    """One sheet with all pictures, and an index of its cells."""
    folder.mkdir(parents=True, exist_ok=True)
    sheet = Image.new("RGBA", (COLUMNS * CELL, max(1, -(-len(items) // COLUMNS)) * CELL), (255, 255, 255, 0))
    with (folder / "metadata.jsonl").open("w", encoding="utf-8", newline="\n") as index:
        for number, item in enumerate(items):
            left, top = number % COLUMNS * CELL, number // COLUMNS * CELL
            sheet.paste(item.picture, (left, top))
            row = {"file_name": "sheet.png", "cell": [left, top, CELL, CELL], "text": list(item.captions), **item.more}
            index.write(json.dumps(row, ensure_ascii=False) + "\n")
    sheet.save(folder / "sheet.png")


def credits(data: Path, icons: Sequence[Icon]) -> str:
    """The authors of game icons, whose licence (CC BY 3.0) asks that they be named."""
    names = {name for icon in icons if icon.style == "gameicons" for name in icon.thing.names}
    authors = sorted({record["author"] for record in read_jsonl(data / "gameicons.jsonl") if record["name"] in names})
    return CREDITS + f"Icons from game-icons.net, CC BY 3.0, by {', '.join(authors)}.\n"


if __name__ == "__main__":
    main()

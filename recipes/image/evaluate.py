"""How good builtin:image is on what it never learnt: whether a person tells what pairs that were held out are, and whether they are copies.

    python recipes/image/evaluate.py draw MODEL icons/ OUT [--pairs 100] [--seed 0]
    python recipes/image/evaluate.py score OUT GUESSES

`draw` draws the pairs through `aigc image` and writes into OUT

    pictures/        one for each pair, with aigc's manifest
    test.png, test.md  the pictures by number, and ten names for each, of which one is right; whoever looks at them should see nothing else
    answers.json     which one it is
    neighbours.png   each picture beside the three that were learnt and are nearest to it
    neighbours.json  how far they are, and what is usual between pictures that were learnt
    contact/, contact.png  a hundred prompts with the same seed, not selected

`score` reads guesses, a line "NUMBER NAME" each, and says how many are right, by style, and what was taken for what.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from captions import STYLES
from numpy.typing import NDArray
from PIL import Image

from aigc_cli.pictures.sheet import Tile, contact_sheet

CANDIDATES = 10
NEIGHBOURS = 3
COLUMNS = 10
PROMPTS = Path(__file__).with_name("contact.txt")


@dataclass(frozen=True)
class Pair:
    thing: str
    style: str

    @property
    def prompt(self) -> str:
        return f"{self.thing}, {self.style}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    drawing = commands.add_parser("draw")
    drawing.add_argument("model")
    drawing.add_argument("icons", type=Path)
    drawing.add_argument("output", type=Path)
    drawing.add_argument("--pairs", type=int, default=100)
    drawing.add_argument("--seed", type=int, default=0)
    drawing.set_defaults(run=draw)
    scoring = commands.add_parser("score")
    scoring.add_argument("output", type=Path)
    scoring.add_argument("guesses", type=Path)
    scoring.set_defaults(run=score)
    options = parser.parse_args()
    options.run(options)


def draw(options: argparse.Namespace) -> None:
    held_out = read_jsonl(options.icons / "heldout" / "metadata.jsonl")
    pairs = chosen([Pair(row["thing"], row["style"]) for row in held_out], options.pairs)
    pictures = drawn([pair.prompt for pair in pairs], options.output / "pictures", options)
    write_test(pairs, pictures, sorted({row["thing"] for row in held_out}), options.output)
    write_neighbours(pairs, pictures, options.icons, options.output)
    prompts = PROMPTS.read_text("utf-8").splitlines()
    contact = drawn(prompts, options.output / "contact", options)
    save_sheet([Tile(path, (prompt,)) for path, prompt in zip(contact, prompts, strict=True)], options.output / "contact.png", 96)


def chosen(pairs: Sequence[Pair], count: int) -> list[Pair]:
    """The same whenever the pairs are."""
    return random.Random(0).sample(pairs, min(count, len(pairs)))


def drawn(prompts: Sequence[str], folder: Path, options: argparse.Namespace) -> list[Path]:
    """One picture for each prompt, with aigc's own defaults."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    file = folder.with_suffix(".txt")
    file.write_text("".join(f"{prompt}\n" for prompt in prompts), "utf-8")
    command = ["image", "--prompts", str(file), "-m", options.model, "-o", str(folder), "--seed", str(options.seed), "--yes"]
    subprocess.run([sys.executable, "-m", "aigc_cli", *command], check=True)
    rows = sorted(read_jsonl(folder / "manifest.jsonl"), key=lambda row: row["index"])
    return [folder / row["file"] for row in rows]


def write_test(pairs: Sequence[Pair], pictures: Sequence[Path], things: Sequence[str], output: Path) -> None:
    draw = random.Random(1)
    lines, answers = [], []
    for number, pair in enumerate(pairs, 1):
        names = [*draw.sample([thing for thing in things if thing != pair.thing], CANDIDATES - 1), pair.thing]
        draw.shuffle(names)
        lines.append(f"{number}. {'; '.join(names)}\n")
        answers.append({"number": number, "thing": pair.thing, "style": pair.style})
    (output / "test.md").write_text("".join(lines), "utf-8")
    (output / "answers.json").write_text(json.dumps(answers, indent=1), "utf-8")
    save_sheet([Tile(path, (str(number),)) for number, path in enumerate(pictures, 1)], output / "test.png", 128)


def write_neighbours(pairs: Sequence[Pair], pictures: Sequence[Path], icons: Path, output: Path) -> None:
    """Distances are root mean squares of the difference over white, of 255."""
    rows = read_jsonl(icons / "train" / "metadata.jsonl")
    learnt = [over_white(picture) for picture in cells(icons / "train", rows)]
    flat = numpy.stack([pixels.ravel() for pixels in learnt]).astype(numpy.float32)
    usual = [float(numpy.partition(distances(flat, row), 1)[1]) for row in flat[:: max(1, len(flat) // 300)]]
    folder = output / "neighbours"
    folder.mkdir(exist_ok=True)
    tiles, found = [], []
    for pair, path in zip(pairs, pictures, strict=True):
        with Image.open(path) as picture:
            away = distances(flat, over_white(picture).ravel().astype(numpy.float32))
        nearest = [int(number) for number in numpy.argsort(away)[:NEIGHBOURS]]
        tiles.append(Tile(path, (pair.prompt,)))
        for number in nearest:
            copy = folder / f"{number}.png"
            Image.fromarray(learnt[number]).save(copy)
            tiles.append(Tile(copy, (f"{away[number]:.0f}: {rows[number]['text'][0]}",)))
        captions = [rows[number]["text"][0] for number in nearest]
        found.append({"prompt": pair.prompt, "distance": round(float(away[nearest[0]]), 1), "nearest": captions})
    middle = round(float(numpy.median(usual)), 1)
    (output / "neighbours.json").write_text(json.dumps({"usual": middle, "pictures": found}, indent=1, ensure_ascii=False), "utf-8")
    save_sheet(tiles, output / "neighbours.png", 96, columns=2 * (NEIGHBOURS + 1))


def cells(folder: Path, rows: Sequence[Mapping[str, Any]]) -> list[Image.Image]:
    sheet = Image.open(folder / "sheet.png").convert("RGBA")
    return [sheet.crop((left, top, left + width, top + height)) for left, top, width, height in (row["cell"] for row in rows)]


def over_white(picture: Image.Image) -> NDArray[numpy.uint8]:
    picture = picture.convert("RGBA")
    ground = Image.new("RGBA", picture.size, "white")
    return numpy.asarray(Image.alpha_composite(ground, picture).convert("RGB"))


def distances(pictures: NDArray[numpy.float32], one: NDArray[numpy.float32]) -> NDArray[numpy.float32]:
    found: NDArray[numpy.float32] = numpy.sqrt(numpy.square(pictures - one).mean(axis=1))
    return found


def save_sheet(tiles: Sequence[Tile], path: Path, cell: int, columns: int = COLUMNS) -> None:
    sheet, _ = contact_sheet(tiles, cell, columns)
    sheet.save(path)


def score(options: argparse.Namespace) -> None:
    answers = json.loads((options.output / "answers.json").read_text("utf-8"))
    guesses = dict(line.split(maxsplit=1) for line in options.guesses.read_text("utf-8").splitlines() if line.strip())
    right, of_style, taken = Counter[str](), Counter[str](), list[str]()
    for answer in answers:
        guess = guesses.get(str(answer["number"]), "nothing").strip()
        of_style[answer["style"]] += 1
        right[answer["style"]] += guess == answer["thing"]
        if guess != answer["thing"]:
            taken.append(f"{answer['thing']}, {answer['style']} -> {guess}")
    print(f"{right.total()} of {len(answers)} recognised, of {CANDIDATES} names each")
    for style in (style.word for style in STYLES.values()):
        print(f"  {style}: {right[style]} of {of_style[style]}")
    print("taken for something else:", *taken, sep="\n  ")


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


if __name__ == "__main__":
    main()

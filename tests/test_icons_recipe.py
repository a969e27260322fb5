"""The recipe that makes the built-in image model's pictures, on sheets of a few cells."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

SCRIPT = Path(__file__).parents[1] / "recipes" / "image" / "icons.py"
STYLES = ("noto", "twemoji", "fluent3d", "fluentflat", "emojitwo", "fxemoji")
NAMES = (("cat", "猫", "animals-nature"), ("rocket", "火箭", "travel-places"), ("red apple", "红苹果", "food-drink"))
OTHERS = (("flag: Aruba", "阿鲁巴", "flags"), ("boy: light skin tone", "男孩", "people-body"))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every thing in every style, each cell of its own colour."""
    data, output = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("out")
    with (data / "emoji.jsonl").open("w", encoding="utf-8") as lines:
        for number, (en, zh, group) in enumerate(NAMES + OTHERS):
            record = {"id": str(number), "en": en, "zh": zh, "group": group, "keywords": ["animal"], "zh_keywords": []}
            lines.write(json.dumps({**record, "cells": dict.fromkeys(STYLES, number)}) + "\n")
    for place, style in enumerate(STYLES):
        sheet = Image.new("RGBA", (4096, 64), (0, 0, 0, 0))
        for number in range(len(NAMES + OTHERS)):
            sheet.paste((40 * place, 50 * number, 7, 255), (number * 64 + 8, 8, number * 64 + 56, 56))
        sheet.save(data / f"emoji_{style}.webp", lossless=True)
    icon = {"name": "cat", "author": "somebody", "sheet": "gameicons_0.png", "cell": 0}
    (data / "gameicons.jsonl").write_text(json.dumps(icon), "utf-8")
    Image.new("L", (4096, 64), 128).save(data / "gameicons_0.png")
    subprocess.run([sys.executable, SCRIPT, data, output], check=True, capture_output=True)
    return output


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text("utf-8").splitlines()]


def pictures(folder: Path) -> list[Image.Image]:
    sheet = Image.open(folder / "sheet.png")
    return [sheet.crop((left, top, left + width, top + height)) for left, top, width, height in (row["cell"] for row in rows(folder))]


def test_things_are_said_in_both_languages_with_their_style(written: Path) -> None:
    said = {caption for row in rows(written / "train") for caption in row["text"]}
    said |= {caption for row in rows(written / "heldout") for caption in row["text"]}
    assert {"cat, silhouette", "猫，剪影", "rocket, 3d", "火箭，立体", "apple, flat", "red apple, cartoon"} <= said
    assert any(caption.startswith("一只猫") for caption in said)
    assert not any("Aruba" in caption or "boy" in caption for caption in said)


def test_a_pair_that_is_held_out_is_never_learnt(written: Path) -> None:
    held_out = rows(written / "heldout")
    assert {row["thing"] for row in held_out} == {"cat", "rocket", "red apple"}
    learnt = {picture.tobytes() for picture in pictures(written / "train")}
    assert not learnt & {picture.tobytes() for picture in pictures(written / "heldout")}
    first_captions = {row["text"][0] for row in rows(written / "train")}
    assert not first_captions & {row["text"][0] for row in held_out}


def test_a_game_icon_is_black_and_as_opaque_as_its_sheet_is_white(written: Path) -> None:
    both = (written / "train", written / "heldout")
    shown = [pair for folder in both for pair in zip(rows(folder), pictures(folder), strict=True)]
    icon = next(picture for row, picture in shown if row["text"][0] == "cat, silhouette")
    assert icon.getpixel((32, 32)) == (0, 0, 0, 128)
    assert "somebody" in (written / "CREDITS.md").read_text("utf-8")


def test_some_pictures_are_put_together(written: Path) -> None:
    alone = sum(1 for row in rows(written / "train") if len(row["text"]) > 10)
    assert len(rows(written / "train")) - alone == round(alone * 0.15 / 0.85)

"""The test that the built-in image model is put to, with pictures that are drawn by nobody."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from PIL import Image

RECIPES = Path(__file__).parents[1] / "recipes" / "image"
THINGS = ("cat", "dog", "rocket", "apple", "tree", "fish", "star", "boat", "house", "heart", "moon")
COLOURS = {"cat": "red", "dog": "lime", "rocket": "blue"}


@pytest.fixture
def evaluate(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(RECIPES))
    monkeypatch.delitem(sys.modules, "evaluate", raising=False)
    import evaluate  # type: ignore[import-not-found]

    module: ModuleType = evaluate
    monkeypatch.setattr(module, "drawn", drawn)
    return module


def drawn(prompts: Sequence[str], folder: Path, options: Any) -> list[Path]:
    folder.mkdir(parents=True)
    paths = [folder / f"{number}.png" for number in range(len(prompts))]
    for path, prompt in zip(paths, prompts, strict=True):
        Image.new("RGB", (64, 64), COLOURS.get(prompt.partition(",")[0], "white")).save(path)
    return paths


@pytest.fixture
def icons(tmp_path: Path) -> Path:
    """Every thing is held out as flat; of the first three a cell of their colour is learnt as 3d."""
    folder = tmp_path / "icons"
    (folder / "heldout").mkdir(parents=True)
    (folder / "train").mkdir()
    held_out = [{"thing": thing, "style": "flat"} for thing in THINGS]
    (folder / "heldout" / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in held_out))
    sheet = Image.new("RGBA", (256, 64), "white")
    learnt = []
    for place, (thing, colour) in enumerate(COLOURS.items()):
        sheet.paste(Image.new("RGBA", (64, 64), colour), (64 * place, 0))
        learnt.append({"cell": [64 * place, 0, 64, 64], "text": [f"{thing}, 3d"]})
    sheet.save(folder / "train" / "sheet.png")
    (folder / "train" / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in learnt))
    return folder


def test_each_picture_has_ten_names_of_which_one_is_right(evaluate: ModuleType, icons: Path, tmp_path: Path) -> None:
    evaluate.draw(SimpleNamespace(model="m", icons=icons, output=tmp_path / "out", pairs=11, seed=0))
    answers = json.loads((tmp_path / "out" / "answers.json").read_text())
    assert sorted(answer["thing"] for answer in answers) == sorted(THINGS)
    for line, answer in zip((tmp_path / "out" / "test.md").read_text().splitlines(), answers, strict=True):
        number, _, names = line.partition(". ")
        assert int(number) == answer["number"]
        assert len(set(names.split("; "))) == 10
        assert answer["thing"] in names.split("; ")


def test_a_copy_is_found_out(evaluate: ModuleType, icons: Path, tmp_path: Path) -> None:
    evaluate.draw(SimpleNamespace(model="m", icons=icons, output=tmp_path / "out", pairs=11, seed=0))
    found = json.loads((tmp_path / "out" / "neighbours.json").read_text())["pictures"]
    nearest = {each["prompt"]: (each["distance"], each["nearest"][0]) for each in found}
    assert nearest["rocket, flat"] == (0, "rocket, 3d")
    assert nearest["moon, flat"][0] > 100  # white, which nobody learnt


def test_guesses_are_counted(evaluate: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = [{"number": 1, "thing": "cat", "style": "3d"}, {"number": 2, "thing": "dog", "style": "3d"}]
    answers.append({"number": 3, "thing": "hot dog", "style": "flat"})
    (tmp_path / "answers.json").write_text(json.dumps(answers))
    (tmp_path / "guesses.txt").write_text("1 cat\n3 hot dog\n2 cat\n")
    evaluate.score(SimpleNamespace(output=tmp_path, guesses=tmp_path / "guesses.txt"))
    said = capsys.readouterr().out
    assert "2 of 3 recognised" in said
    assert "  3d: 1 of 2\n" in said
    assert "dog, 3d -> cat" in said

"""The image model in the package, wherever `aigc` meets it: here a tiny one that draws transparency takes its place."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aigc_cli.commands.session import note_built_in_model
from aigc_cli.models.catalogue import BUILTINS
from aigc_cli.settings import load_settings
from tests.backends.image.test_adapters import as_diffusers
from tests.backends.image.test_score import BYTE_TOKENS, write_clip
from tests.backends.image.tiny_pipelines import tiny_pipeline
from tests.commands.imaging import OUT, draw, names, pixels, recipe, records
from tests.conftest import Result, run_here

Run = Callable[..., Result]
FLOAT32 = ("--device", "cpu", "--dtype", "float32", "--seed", "7")
NAME = "builtin:image"
CARD = "---\nlicense: apache-2.0\n---\n\n| | |\n|---|---|\n| data | icons, CC BY |\n| limits | things, no scenes |\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("package") / "image"
    tiny_pipeline("icons").save_pretrained(path)
    (path / "generation_config.json").write_text('{"num_inference_steps": 3, "guidance_scale": 4.0}')
    (path / "README.md").write_text(CARD)
    return path


@pytest.fixture(autouse=True)
def built_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BUILTINS, NAME, replace(BUILTINS[NAME], path=folder))


def only(folder: Path = OUT) -> Image.Image:
    [name] = names(folder)
    return Image.open(folder / name)


def test_it_is_what_draws_where_no_model_is_named() -> None:
    draw("一只猫, flat", *FLOAT32)
    assert (only().mode, only().size) == ("RGB", (64, 64))
    told = recipe(OUT / names()[0])
    assert (told["model"], told["settings"]["steps"], told["settings"]["guidance_scale"]) == (NAME, 3, 4.0)
    draw("一只猫, flat", *FLOAT32, "--transparent", "-o", "clear")
    clear = only(Path("clear"))
    assert clear.mode == "RGBA"
    white = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
    assert only().tobytes() == white.tobytes()


def test_models_and_settings_know_it(run: Run) -> None:
    assert f"{NAME}\tbuilt-in\timage" in run("models", "list").stdout
    shown = dict(line.split("\t", 1) for line in run("models", "show", NAME).stdout.splitlines())
    facts = ("licence", "architecture", "own size", "data", "limits")
    assert [shown[name] for name in facts] == ["apache-2.0", "StableDiffusionPipeline", "64 x 64", "icons, CC BY", "things, no scenes"]
    assert json.loads(run("models", "show", NAME, "--json").stdout)["card"] == {"data": "icons, CC BY", "limits": "things, no scenes"}
    assert "draws 64 x 64: it fits on" in run("models", "fit", NAME).stderr
    assert run("config", "get", "image_model").stdout == f"{NAME}\n"
    assert json.loads(run("config", "get", "image_model", "--json").stdout)["default"] == NAME
    assert "is an image model: it writes no text" in run("complete", "-m", NAME, "x").stderr


def test_a_setting_goes_before_it(run: Run, folder: Path, tmp_path: Path) -> None:
    tiny_pipeline("sd").save_pretrained(tmp_path / "sd")
    run("config", "set", "image_model", str(tmp_path / "sd"))
    result = run("image", "cat", "--transparent", *FLOAT32)
    assert (result.status, "this model draws no transparency: --transparent changes nothing" in result.stderr) == (2, True)
    assert not names()


def test_what_it_is_drawn_with_must_be_readable(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "mine")
    (tmp_path / "mine" / "generation_config.json").write_text("{")
    result = run_here("image", "cat", "-m", tmp_path / "mine", *FLOAT32)
    assert (result.status, "generation_config.json cannot be read" in result.stderr) == (3, True)


def test_it_is_introduced_once() -> None:
    said: list[str] = []
    screen: Any = SimpleNamespace(quiet=False, stderr_is_terminal=True, note=said.append)
    for _ in range(2):
        note_built_in_model(None, load_settings(), screen, "image_model")
    note_built_in_model("sd1.5", load_settings(), screen, "image_model")
    note_built_in_model(None, load_settings(), screen)
    assert [line.split(",")[0] for line in said] == ["This is builtin:image", "This is builtin:text"]


def test_a_picture_drawn_again_is_the_same() -> None:
    draw("cat", *FLOAT32, "--transparent")
    draw("--from", OUT / names()[0], "-o", "again")
    assert only(Path("again")).tobytes() == only().tobytes()


def test_from_a_picture_within_a_mask_and_beyond_its_edges() -> None:
    icon = Image.new("RGBA", (64, 64), (255, 255, 255, 0))
    icon.paste((200, 30, 30, 255), (16, 16, 48, 48))
    icon.save("icon.png")
    mask = Image.new("L", (64, 64))
    mask.paste(255, (0, 0, 64, 24))
    mask.save("mask.png")
    begun = draw("cat", *FLOAT32, "--transparent", "--init-image", "icon.png", "--strength", 0.7)
    assert "laid on white" not in begun.stderr
    draw("cat", *FLOAT32, "--transparent", "--init-image", "icon.png", "--mask", "mask.png", "-o", "masked")
    draw("cat", *FLOAT32, "--transparent", "--init-image", "icon.png", "--outpaint", 16, "-o", "larger")
    assert only().mode == "RGBA"
    masked, own = np.asarray(only(Path("masked"))), np.asarray(icon)
    assert (masked[24:] == own[24:]).all()
    assert (masked[:24] != own[:24]).any()
    larger = only(Path("larger"))
    assert larger.size == (96, 96)
    assert np.array_equal(np.asarray(larger)[48:60, 40:56], own[32:44, 24:40])
    draw("--from", Path("masked") / names(Path("masked"))[0], "-o", "again")
    assert only(Path("again")).tobytes() == only(Path("masked")).tobytes()


def test_the_best_of_several_on_one_sheet(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip", [*BYTE_TOKENS, *(byte + "</w>" for byte in BYTE_TOKENS)], [])
    draw("cat", *FLOAT32, "--best-of", 3, "--keep", 2, "--draft-steps", 1, "--score", clip, "--transparent", "--grid", "--webpage")
    assert sorted(record["status"] for record in records()) == ["done", "done", "rejected"]
    assert [Image.open(OUT / name).mode for name in names() if name.endswith(".png")] == ["RGBA", "RGBA"]
    assert Image.open(OUT / "grid.jpg").getpixel((0, 0)) == (255, 255, 255)


def test_an_adapter_on_top(tmp_path: Path) -> None:
    draw("cat", *FLOAT32)
    draw("cat", *FLOAT32, "--adapter", as_diffusers(tmp_path), "-o", "adapted")
    assert pixels() != pixels(Path("adapted"))


def test_previews_are_laid_on_the_background() -> None:
    events = run_here("image", "cat", *FLOAT32, "--background", "red", "--preview", "final", "--json").events
    preview = next(event["preview"] for event in events if event.get("preview"))
    shown = Image.open(io.BytesIO(base64.b64decode(preview)))
    final = only().resize(shown.size, Image.Resampling.BOX)
    assert (shown.mode, shown.size) == ("RGB", (16, 16))
    difference = np.asarray(shown, int) - np.asarray(final, int)
    assert np.abs(difference).mean() < np.abs(255 - np.asarray(final, int)).mean()

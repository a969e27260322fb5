"""`aigc image --from`: pictures drawn again by what their files tell, with changes, and what is said of differences."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from tests.commands.imaging import OUT, draw, drawn, pixels, recipe, refused
from tests.conftest import Result
from tests.fake_image import FakeImageEngine
from tests.pictures.test_comfyui import graph

Run = Callable[..., Result]
Fake = type[FakeImageEngine]

pytestmark = pytest.mark.usefixtures("fake_image")


@pytest.fixture
def fox() -> Path:
    """A picture with a history: its prompt was drawn, and it ran together with others."""
    draw("a {red|蓝色} __thing__", "--wildcards", cards(), "-n", 2, "--seed", 7, "--steps", 9, "--negative-prompt", "模糊", "-o", "first")
    drawn()
    return next(Path("first").glob("0004-*.png"))


def cards() -> Path:
    Path("cards").mkdir()
    Path("cards/thing.txt").write_text("狐狸 {of snow}", "utf-8")
    return Path("cards")


def chunk(name: str, text: str) -> PngImagePlugin.PngInfo:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt(name, text)
    return chunks


def test_the_same_picture_again(fox: Path) -> None:
    result = draw("--from", fox)
    assert drawn() == [[("a 蓝色 狐狸 of snow", 8)]]
    assert pixels() == {"0001-a-蓝色-狐狸-of-snow-8.png": pixels(Path("first"))[fox.name]}
    assert "may differ" not in result.stderr
    told, then = recipe(OUT / "0001-a-蓝色-狐狸-of-snow-8.png"), recipe(fox)
    assert (told["settings"], told["model"]) == (then["settings"], then["model"])


def test_braces_of_a_prompt_that_was_spelled_out_stay() -> None:
    draw(r"a \{sign\}", "--seed", 7)
    draw("--from", OUT / "0001-a-sign-7.png", "-o", "again")
    assert drawn() == [[("a {sign}", 7)]] * 2


def test_changes_go_before_what_the_picture_tells(fox: Path, fake_image: Fake) -> None:
    draw("--from", fox, "--steps", 50)
    draw("--from", fox, "a {cat|dog}", "--seed", 3)
    draw("--from", fox, "-m", "another", "--dtype", "bfloat16", "-n", 2)
    draw("--from", fox, "-", input="一只猫\n")
    (first,), (cat, dog), (again, next_one), (from_stdin,) = fake_image.batches
    assert (first.steps, first.seed, first.negative_prompt) == (50, 8, "模糊")
    assert [(request.prompt, request.seed, request.steps) for request in (cat, dog)] == [("a cat", 3, 9), ("a dog", 3, 9)]
    assert [request.seed for request in (again, next_one)] == [8, 9]
    assert fake_image.opened[3].dtype == "bfloat16"
    assert from_stdin.prompt == "一只猫"


def test_a_matrix_over_what_the_picture_tells(fox: Path, fake_image: Fake) -> None:
    draw("--from", fox, "--matrix", "steps=10,20", "--matrix", "seed=1,2")
    assert [(request.steps, request.seed) for batch in fake_image.batches for request in batch] == [(10, 1), (10, 2), (20, 1), (20, 2)]


def test_its_own_files_are_used_again(fake_image: Fake) -> None:
    for name in ("墨.safetensors", "ink.safetensors", "vae.safetensors", "word.safetensors"):
        Path(name).write_bytes(name.encode())
    draw("fox", "--seed", 7, "--adapter", "墨.safetensors:0.7", "--adapter", "ink.safetensors", "--vae", "vae.safetensors")
    again = draw("--from", OUT / "0001-fox-7.png", "-o", "again")
    first, second = fake_image.opened
    assert (second.adapters, second.vae) == (first.adapters, first.vae)
    assert second.adapters == ((Path("墨.safetensors"), 0.7), (Path("ink.safetensors"), 1.0))
    assert "may differ" not in again.stderr
    draw("--from", OUT / "0001-fox-7.png", "--adapter", "ink.safetensors:0.1", "-o", "other")
    assert fake_image.opened[-1].adapters == ((Path("ink.safetensors"), 0.1),)


def test_a_file_that_is_not_there_any_more(fake_image: Fake) -> None:
    Image.new("RGB", (64, 64), "red").save("图.png")
    Path("墨.safetensors").write_bytes(b"x")
    draw("fox", "--seed", 7, "--init-image", "图.png", "--adapter", "墨.safetensors:0.7")
    path = OUT / "0001-fox-7.png"
    fake_image.opened.clear()
    Path("图.png").rename("moved.png")
    said = refused("--from", path)
    assert f"{path} was made with 图.png, which is not there" in said
    assert "--init-image FILE" in said
    Path("墨.safetensors").unlink()
    assert f"{path} was made with 墨.safetensors, which is not there" in refused("--from", path, "--init-image", "moved.png")
    Path("other.safetensors").write_bytes(b"y")
    draw("--from", path, "--init-image", "moved.png", "--adapter", "other.safetensors")


def test_what_differs_today_is_said(fox: Path, fake_image: Fake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "model/unet/diffusion_pytorch_model.safetensors").write_bytes(b"others")
    fake_image.device = "cuda"
    monkeypatch.setattr("aigc_cli.commands.image_recipes.version", lambda name: "9.9")
    said = draw("--from", fox, "-m", "another").stderr
    assert "the model's weights are not the same as then: the picture may differ" in said
    assert "the model was tiny, now another" in said
    assert "the device was cpu, now cuda" in said
    assert ", now 9.9: the picture may differ" in said
    cautions = [event["message"] for event in draw("--from", fox, "--json", "-o", "b").events if event["event"] == "warning"]
    assert any("the device was cpu" in message for message in cautions)


def test_a_picture_that_ran_with_others_in_bfloat16_may_differ() -> None:
    draw("狐狸", "-n", 2, "--seed", 7, "--dtype", "bfloat16")
    said = draw("--from", OUT / "0002-狐狸-8.png", "-o", "again").stderr
    assert "was drawn together with others in bfloat16: alone it may differ in its last digits" in said
    assert "was drawn together" not in draw("--from", Path("again") / "0001-狐狸-8.png", "-o", "alone").stderr


def test_a_picture_of_a1111(fake_image: Fake) -> None:
    values = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 72x64, Model: sd15, Hires upscale: 2"
    text = f'一只猫, "quoted" <lora:ink:0.7>\nNegative prompt: 模糊\n{values}'
    Image.new("RGB", (8, 8)).save("a1111.png", pnginfo=chunk("parameters", text))
    result = draw("--from", "a1111.png")
    [[request]] = fake_image.batches
    assert (request.negative_prompt, request.steps, request.scheduler, request.guidance_scale) == ("模糊", 20, "euler-a", 7.0)
    assert (request.seed, request.width, request.height) == (5, 72, 64)
    assert request.prompt.strip() == '一只猫, "quoted"'
    assert "a1111.png was made with the LoRA ink, which is not used: name it with --adapter" in result.stderr
    assert "a1111.png was made with sd15: which model is taken, -m says" in result.stderr
    assert "not taken: Hires upscale: 2" in result.stderr
    Path("ink.safetensors").touch()
    again = draw("--from", "a1111.png", "-m", "mine", "--adapter", "ink.safetensors:0.7", "-o", "b")
    assert "which model" not in again.stderr
    assert "which is not used" not in again.stderr


def test_a_picture_of_comfyui(fake_image: Fake) -> None:
    nodes = graph(**{"20": {"class_type": "FaceDetailer", "inputs": {"image": ["8", 0]}}})
    Image.new("RGB", (8, 8)).save("comfy.png", pnginfo=chunk("prompt", json.dumps(nodes)))
    result = draw("--from", "comfy.png", "--width", 64, "--height", 64)
    [[request]] = fake_image.batches
    assert (request.prompt, request.seed, request.scheduler, request.steps) == ("一只红狐狸, snow", 42, "dpm++2m-karras", 20)
    assert "nodes not understood: FaceDetailer" in result.stderr


def test_a_picture_that_does_not_tell_its_seed_or_prompt() -> None:
    Image.new("RGB", (8, 8)).save("prompt.png", pnginfo=chunk("parameters", "only a prompt"))
    assert "prompt.png does not tell its seed: the picture will be another one" in draw("--from", "prompt.png").stderr
    assert "does not tell its seed" not in draw("--from", "prompt.png", "--seed", 4).stderr
    Image.new("RGB", (8, 8)).save("seed.png", pnginfo=chunk("parameters", "\nSteps: 3, Seed: 5, Size: 64x64"))
    FakeImageEngine.opened.clear()
    assert "seed.png does not tell its prompt" in refused("--from", "seed.png")
    draw("--from", "seed.png", "狐狸")


def test_a_picture_that_does_not_tell() -> None:
    Image.new("RGB", (8, 8)).save("plain.png")
    assert "plain.png does not tell how it was made" in refused("--from", "plain.png")


def test_a_recipe_that_somebody_changed(fox: Path) -> None:
    with Image.open(fox) as image:
        told = json.loads(image.info["aigc"])
    told["settings"] |= {"steps": 0}
    Image.new("RGB", (8, 8)).save("bad.png", pnginfo=chunk("aigc", json.dumps(told)))
    FakeImageEngine.opened.clear()
    assert "steps must be" in refused("--from", "bad.png")
    told["settings"] |= {"steps": 3, "rm": "-rf"}
    Image.new("RGB", (8, 8)).save("odd.png", pnginfo=chunk("aigc", json.dumps(told)))
    assert "the setting rm could not be taken" in draw("--from", "odd.png").stderr

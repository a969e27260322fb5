"""`aigc image` on pipelines of diffusers that are small, with everything real from the prompt to the file."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageChops
from safetensors.torch import save_file

from tests.backends.image.original_names import original_checkpoint
from tests.backends.image.test_adapters import as_diffusers
from tests.backends.image.test_load import FOUR_LEVELS
from tests.backends.image.test_score import BYTE_TOKENS, write_clip
from tests.backends.image.tiny_pipelines import stable_diffusion, tiny_pipeline
from tests.commands.imaging import OUT, draw, names, pixels, recipe, records, write
from tests.conftest import Result

Run = Callable[..., Result]
Aigc = Callable[..., "subprocess.CompletedProcess[bytes]"]

FLOAT32 = ("--device", "cpu", "--dtype", "float32")
BRIEF = (*FLOAT32, "--steps", "2", "--seed", "7")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny Stable Diffusion, one in Stable Diffusion 1.5's shape and its single file, and a tiny FLUX."""
    root = tmp_path_factory.mktemp("模型")
    tiny_pipeline("sd").save_pretrained(root / "sd")
    tiny_pipeline("flux").save_pretrained(root / "flux")
    torch.manual_seed(0)
    pipe = stable_diffusion(**FOUR_LEVELS)
    pipe.save_pretrained(root / "sd15")
    save_file(original_checkpoint(pipe), root / "sd15" / "file.safetensors")
    return root


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "照片.png"
    Image.linear_gradient("L").resize((96, 64)).convert("RGB").save(path)
    return path


def only(folder: Path = OUT) -> Image.Image:
    [name] = names(folder)
    return Image.open(folder / name).convert("RGB")


def test_a_prompt_as_a_process_of_its_own(aigc: Aigc, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    result = aigc("image", "一只红狐狸", "-m", models / "sd", *BRIEF, "-o", "-")
    assert result.returncode == 0, result.stderr.decode()
    picture = Image.open(io.BytesIO(result.stdout))
    assert (picture.size, json.loads(picture.info["aigc"])["settings"]["prompt"]) == ((64, 64), "一只红狐狸")
    draw("一只红狐狸", "-m", models / "sd", *BRIEF)
    assert only().tobytes() == picture.convert("RGB").tobytes()
    assert b"Warning" not in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_batch_is_what_its_rows_are_alone(models: Path) -> None:
    rows = [{"prompt": f"第{number}只", "seed": number, "width": 64 + 8 * (number % 2)} for number in range(6)]
    draw("--prompts", write("rows.jsonl", rows), "-m", models / "sd", *FLOAT32, "--steps", 2, "--batch-size", 3, "--grid", "--webpage")
    together = pixels()
    assert {record["status"] for record in records()} == {"done"}
    assert {"grid.jpg", "index.html"} <= {path.name for path in OUT.iterdir()}
    draw("第3只", "-m", models / "sd", *FLOAT32, "--steps", 2, "--seed", 3, "--width", 72, "-o", "alone")
    assert only(Path("alone")).tobytes() == together["0004-第3只-3.png"]


def test_replayed_it_is_the_same(models: Path) -> None:
    draw("fox (in the snow:1.3)", "-m", models / "sd", *BRIEF, "--negative-prompt", "模糊", "--scheduler", "dpm++2m-karras")
    [name] = names()
    result = draw("--from", OUT / name, "-o", "again")
    assert pixels(Path("again")) == pixels()
    assert "differ" not in result.stderr
    draw("--from", OUT / name, "--steps", 3, "-o", "other")
    assert pixels(Path("other")) != pixels()


def test_from_another_picture(models: Path, photo: Path) -> None:
    draw("fox", "-m", models / "sd", *FLOAT32, "--seed", 7, "--steps", 4, "--init-image", photo, "--strength", "0.5", "--width", 96)
    assert only().size == (96, 64)
    [name] = names()
    told = recipe(OUT / name)
    assert (told["settings"]["strength"], told["settings"]["init_image"]) == (0.5, str(photo))
    draw("--from", OUT / name, "-o", "again")
    assert pixels(Path("again")) == pixels()


def test_within_a_mask(models: Path, photo: Path) -> None:
    mask = Image.new("L", (96, 64))
    mask.paste(255, (48, 0, 96, 64))
    mask.save("mask.png")
    draw("fox", "-m", models / "sd", *BRIEF, "--init-image", photo, "--mask", "mask.png", "--width", 96)
    difference = ImageChops.difference(only(), Image.open(photo)).convert("L")
    assert difference.crop((0, 0, 48, 64)).getbbox() is None  # black stays
    assert difference.crop((48, 0, 96, 64)).getbbox() is not None


def test_beyond_the_edges(models: Path, photo: Path) -> None:
    draw("fox", "-m", models / "sd", *BRIEF, "--init-image", photo, "--outpaint", 16)
    picture = only()
    assert picture.size == (128, 96)
    difference = ImageChops.difference(picture.crop((16, 16, 112, 80)), Image.open(photo)).convert("L")
    assert difference.crop((32, 24, 64, 40)).getbbox() is None


def test_a_single_file_is_the_folder(models: Path) -> None:
    draw("狐狸", "-m", models / "sd15", *BRIEF, "--width", 128, "--height", 128)
    draw("狐狸", "-m", models / "sd15/file.safetensors", *BRIEF, "--width", 128, "--height", 128, "-o", "file")
    assert pixels(Path("file")) == pixels()
    [name] = names(Path("file"))
    assert len(recipe(Path("file") / name)["model_sha256"]) == 64


def test_another_family(models: Path) -> None:
    result = draw("狐狸", "-m", models / "flux", *BRIEF, "--width", 64, "--height", 72)
    assert only().size == (64, 80)
    assert "64 x 72 is drawn as 64 x 80: this model takes multiples of 16" in result.stderr


def test_a_lora_changes_the_picture_and_is_told(models: Path) -> None:
    as_diffusers(Path())
    draw("fox", "-m", models / "sd", *BRIEF)
    draw("fox", "-m", models / "sd", *BRIEF, "--adapter", "lora.safetensors:0.7", "-o", "tuned")
    assert pixels(Path("tuned")) != pixels()
    [part] = recipe(Path("tuned") / names(Path("tuned"))[0])["parts"]
    assert (part["kind"], part["name"], part["scale"]) == ("lora", "lora.safetensors", 0.7)


def test_a_lora_of_another_family_is_refused(run: Run, models: Path) -> None:
    save_file({"transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight": torch.ones(4, 32)}, "flux.safetensors")
    result = run("image", "fox", "-m", models / "sd", *BRIEF, "--adapter", "flux.safetensors")
    assert (result.status, "flux.safetensors" in result.stderr, OUT.exists()) == (3, True, False)


def test_the_best_by_a_real_clip(models: Path) -> None:
    clip = write_clip(Path("clip").absolute(), [*BYTE_TOKENS, *(byte + "</w>" for byte in BYTE_TOKENS)], [])
    draw("狐狸", "-m", models / "sd", *BRIEF, "--best-of", 4, "--draft-steps", 1, "--score", clip)
    kept = {record["status"]: record["score"] for record in records()}
    assert len(names()) == 1
    assert -1 <= kept["done"] <= 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--clip-skip", "2", "-m", "flux"), "this model has no CLIP text encoder"),
        (("--negative-prompt", "x", "-m", "flux"), "negative prompt"),
        (("--controlnet", "sd/unet", "-m", "sd"), "unet"),
        (("--offload", "-m", "sd"), "--offload"),
    ],
)
def test_what_a_model_cannot_do(options: tuple[str, ...], words: str, run: Run, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(models)
    result = run("image", "fox", *BRIEF, *options)
    assert result.status in (2, 3)
    assert words in result.stderr
    assert not OUT.exists()

"""`aigc finetune --image` with a real pipeline, tiny and untrained: it goes on after a crash, and draws at once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image
from safetensors.torch import load_file

from aigc_cli.backends.train.image.job import ImageJob
from aigc_cli.backends.train.image.objective import LearnedPicture
from tests.backends.image.tiny_pipelines import stable_diffusion
from tests.backends.train.image.tiny_blueprint import TABLES
from tests.commands.finetuning import FLOAT32, finetune, logged, losses
from tests.conftest import Result

Run = Callable[..., Result]
LORA = "pytorch_lora_weights.safetensors"
BRIEF = (
    *FLOAT32, "--resolution", "64", "--max-steps", "6", "--eval-steps", "2", "--batch-size", "2", "--val-split", "0.2", "--samples", "1",
    "--sample-steps", "2", "--learning-rate", "0.01",
)  # fmt: skip
DRAWING = ("--steps", "2", "--seed", "3", "--width", "64", "--height", "64", *FLOAT32)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "小画"
    torch.manual_seed(0)
    stable_diffusion().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve, of two shapes."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(12):
        Image.new("RGB", (64 + number % 2 * 32, 64), (20 * number, 255 - 20 * number, 90)).save(folder / f"图{number}.png")
        (folder / f"图{number}.txt").write_text(f"第{number}只 cat", "utf-8")
    return folder


def history(folder: Path) -> list[list[dict[str, Any]]]:
    return [logged(folder, event) for event in ("train_step", "eval")]


def drawn(folder: Path) -> bytes:
    [path] = folder.glob("*.png")
    return Image.open(path).tobytes()


def test_a_lora_that_crashed_goes_on_as_if_undisturbed_and_draws_at_once(
    run: Run, base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, mine = tmp_path / "whole", tmp_path / "mine"
    finetune(pictures, "--image", "-m", base, "-o", whole, *BRIEF)
    rows = ImageJob.rows

    def crashing(job: ImageJob, number: int) -> Sequence[LearnedPicture]:
        if number == 5:
            raise RuntimeError("as of a power cut")
        return rows(job, number)

    with monkeypatch.context() as patch:
        patch.setattr(ImageJob, "rows", crashing)
        assert run("finetune", pictures, "--image", "-m", base, "-o", mine, *BRIEF).status == 1
    assert (
        "holds a run that has no result yet" in run("image", "a cat", "-m", base, "--adapter", mine, "-o", tmp_path / "x", *DRAWING).stderr
    )
    finetune("--resume", "-o", mine)
    assert history(mine) == history(whole)
    ours, theirs = load_file(mine / LORA), load_file(whole / LORA)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert losses(mine)[6] < losses(mine)[0]
    assert [sheet["step"] for sheet in logged(mine, "samples")] == [0, 2, 4, 6]

    for name, adapter in (("before", ()), ("after", ("--adapter", mine))):
        assert run("image", "第3只 cat", "-m", base, *adapter, "-o", tmp_path / name, *DRAWING).status == 0
    assert drawn(tmp_path / "before") != drawn(tmp_path / "after")
    pipeline = DiffusionPipeline.from_pretrained(base)  # type: ignore[no-untyped-call]
    pipeline.load_lora_weights(mine)
    assert pipeline.get_list_adapters()


def test_a_whole_model_draws_at_once_and_is_shown_for_what_it_is(run: Run, base: Path, pictures: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    finetune(pictures, "--image", "-m", base, "-o", mine, "--method", "full", "--average", "0.5", *BRIEF)
    for name, model in (("before", base), ("after", mine)):
        assert run("image", "第3只 cat", "-m", model, "-o", tmp_path / name, *DRAWING).status == 0
    assert drawn(tmp_path / "before") != drawn(tmp_path / "after")
    assert run("models", "show", mine, "--json").events[0]["architecture"] == "StableDiffusionPipeline"
    assert DiffusionPipeline.from_pretrained(mine).components.keys() >= {"unet", "vae"}  # type: ignore[no-untyped-call]


def test_a_pipeline_from_one_file_draws_at_once_with_what_can_be_seen_through(run: Run, pictures: Path, tmp_path: Path) -> None:
    """A dry run trains nothing of it, neither the autoencoder."""
    recipe = tmp_path / "新.toml"
    options = (
        f'image = true\nfrom-scratch = "{recipe}"\ndata = "{pictures}"\nmax-steps = 2\nbatch-size = 4\nsamples = 1\nsample-steps = 2\n'
    )
    recipe.write_text(options + TABLES, "utf-8")
    tried = run("finetune", "--config", recipe, "--dry-run", *FLOAT32)
    assert tried.status == 0, tried.stderr
    assert "3 steps of training the autoencoder come before" in tried.stderr
    assert "psnr" not in tried.stderr
    made = finetune("--config", recipe, "-o", tmp_path / "made", *FLOAT32)
    assert "dB of transparency" in made.stderr
    assert run("image", "一只猫", "-m", tmp_path / "made", "-o", tmp_path / "out", "--steps", "2", "--transparent", *FLOAT32).status == 0
    [path] = (tmp_path / "out").glob("*.png")
    assert (Image.open(path).mode, Image.open(path).size) == ("RGBA", (16, 16))


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_as_if_undisturbed(base: Path, pictures: Path, tmp_path: Path) -> None:
    whole, mine = tmp_path / "whole", tmp_path / "mine"
    finetune(pictures, "--image", "-m", base, "-o", whole, *BRIEF, "--max-steps", "40")
    begun = ["finetune", str(pictures), "--image", "-m", str(base), "-o", str(mine), *BRIEF, "--max-steps", "40"]
    process = subprocess.Popen([sys.executable, "-m", "aigc_cli", *begun], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(mine.glob("checkpoints/step-*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert json.loads((mine / "run.json").read_text("utf-8"))["status"] == "running"
    finetune("--resume", "-o", mine)
    assert history(mine) == history(whole)

"""`aigc finetune --image --from-scratch`: the autoencoder's part of the run, stopped, failed, recorded and gone on with."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from aigc_cli.backends.train.image.reconstruction import Reconstruction
from tests.backends.train.image.tiny_blueprint import TABLES, draw_pictures
from tests.commands.finetuning import FLOAT32, finetune, logged
from tests.conftest import Result

Run = Callable[..., Result]
OPTIONS = 'image = true\nfrom-scratch = "新.toml"\ndata = "pictures"\nval-split = 0.2\nmax-steps = 2\nbatch-size = 4\nsamples = 0\n'
FOUR_STEPS = TABLES.replace("steps = 3", "steps = 4\neval_steps = 3")


@pytest.fixture(autouse=True)
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    draw_pictures(tmp_path / "pictures")
    path = Path("新.toml")
    path.write_text(OPTIONS + FOUR_STEPS, "utf-8")
    return path


def when_called(patch: pytest.MonkeyPatch, call: int, happens: Callable[[], Any]) -> None:
    """While the autoencoder learns from a step's pictures."""
    loss, calls = Reconstruction.loss, 0

    def watched(self: Reconstruction, rows: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls == call:
            happens()
        return loss(self, rows)

    patch.setattr(Reconstruction, "loss", watched)


def kinds(folder: str) -> list[tuple[str, str | None, int | None]]:
    lines = Path(folder, "log.jsonl").read_text("utf-8").splitlines()
    return [(event["event"], event.get("split"), event.get("step")) for event in map(json.loads, lines)]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_in_a_step_it_goes_on_after_it_to_the_same_result(
    run: Run, recipe: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, status: int
) -> None:
    finetune("--config", recipe, "-o", "whole", *FLOAT32)
    with monkeypatch.context() as patch:
        when_called(patch, 2, lambda: signal.raise_signal(number))
        stopped = run("finetune", "--config", recipe, "-o", "mine", *FLOAT32)
    assert stopped.status == status
    assert "stopped, with all that was done saved; go on with: aigc finetune --resume -o mine" in stopped.stderr
    assert json.loads(Path("mine/run.json").read_text("utf-8"))["status"] == "stopped"
    assert "of 4 of its autoencoder" in run("finetune", "--config", recipe, "-o", "mine", *FLOAT32).stderr
    recipe.write_text("# 说明\n" + OPTIONS + FOUR_STEPS, "utf-8")  # a comment more
    finetune("--resume", "-o", "mine")
    for event in ("train_step", "eval"):
        assert logged("mine", event) == logged("whole", event)
    for part in ("vae", "unet"):
        ours, theirs = (load_file(Path(name, part, "diffusion_pytorch_model.safetensors")) for name in ("mine", "whole"))
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_its_steps_and_figures_are_in_the_log_and_its_last_in_the_report(run: Run, recipe: Path) -> None:
    said = finetune("--config", recipe, "-o", "mine", "--tensorboard", *FLOAT32)
    ours = [kind for kind in kinds("mine") if kind[1] == "autoencoder"]
    measured = [("eval", "autoencoder", step) for step in (0, 3, 4) for _ in range(4)]
    assert [kind for kind in ours if kind[0] == "eval"] == measured
    assert [step for event, _, step in ours if event == "train_step"] == [1, 2, 3, 4]
    assert [step for event, split, step in kinds("mine") if event == "train_step" and split is None] == [1, 2]
    assert "autoencoder, before: loss " in said.stderr
    assert "autoencoder, step 3 of 4: loss " in said.stderr
    assert " dB over black, psnr " in said.stderr
    report = json.loads(Path("mine/report.json").read_text("utf-8"))
    last = {each["name"]: each["value"] for each in logged("mine", "eval") if (each["split"], each["step"]) == ("autoencoder", 4)}
    assert report["after"]["autoencoder"] == last
    assert report["training"]["steps"] == 2
    assert "autoencoder psnr over black, dB" in said.stdout
    assert list(Path("mine/tensorboard/autoencoder").iterdir())


def test_a_loss_that_is_no_number_is_said_with_the_words_of_its_table(run: Run, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reconstruction, "loss", lambda self, rows: self.module.encoder.layers[0].weight.sum() * float("nan"))
    failed = run("finetune", "--config", recipe, "-o", "mine", *FLOAT32)
    assert failed.status == 1
    assert "begin again with a lower learning_rate in [autoencoder_training] than 0.001" in failed.stderr
    assert Path("mine/run.json").exists()


def test_what_fails_after_it_says_that_it_is_kept(run: Run, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("aigc_cli.backends.train.image.prepared_run.memory_there", lambda device: 2**20)
        failed = run("finetune", "--config", recipe, "-o", "mine", *FLOAT32)
    assert failed.status == 4
    assert "the autoencoder is trained, and kept; go on with: aigc finetune --resume -o mine" in failed.stderr
    gone_on = finetune("--resume", "-o", "mine")
    assert "autoencoder, step" not in gone_on.stderr
    assert [step for event, split, step in kinds("mine") if event == "train_step" and split] == [1, 2, 3, 4]


def test_another_table_is_another_run(run: Run, recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        when_called(patch, 1, lambda: signal.raise_signal(signal.SIGINT))
        run("finetune", "--config", recipe, "-o", "mine", *FLOAT32)
    recipe.write_text(OPTIONS + FOUR_STEPS.replace("norm_num_groups = 4", "norm_num_groups = 2"), "utf-8")
    refused = run("finetune", "--resume", "-o", "mine")
    assert (refused.status, "[unet] norm_num_groups was 4, is 2" in refused.stderr) == (2, True), refused.stderr

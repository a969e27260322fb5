"""What goes wrong while `aigc finetune` runs, and folders that are taken."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from aigc_cli.backends.train import run as training
from aigc_cli.backends.train.text.loss import SupervisedLoss
from aigc_cli.backends.train.update import Updater
from tests.commands.finetuning import BRIEF, FLOAT32, exchanges, finetune, history, logged, losses, result_files, write_rows
from tests.conftest import Result

Run = Callable[..., Result]


def poisoned_from(call: int, patch: pytest.MonkeyPatch) -> None:
    """Makes a weight no number before that update."""
    real, calls = Updater.update, iter(range(1, 100))

    def update(self: Updater, *args: Any) -> Any:
        if next(calls) == call:
            with torch.no_grad():
                next(iter(self.masters.weights.values())).fill_(float("nan"))
        return real(self, *args)

    patch.setattr(Updater, "update", update)


def test_a_loss_that_is_no_number_stops_the_run_and_names_its_rows(
    run: Run, tiny: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned_from(5, monkeypatch)
    result = run("finetune", rows, "-m", tiny, "-o", "mine", *BRIEF)
    assert result.status == 1
    assert "the loss is nan at step 5 of 6, whose rows are " in result.stderr
    assert result.stderr.count(f"{rows}:") == 4  # a batch
    assert "the checkpoint in mine/checkpoints/step-00000003 is kept" in result.stderr
    assert all(torch.isfinite(weight).all() for weight in load_file("mine/checkpoints/step-00000003/trained.safetensors").values())
    assert not Path("mine/adapter_model.safetensors").exists()


def test_after_that_a_resume_goes_on_from_the_last_good_state(run: Run, tiny: Path, rows: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        poisoned_from(5, patch)
        assert run("finetune", rows, "-m", tiny, "-o", "mine", *BRIEF).status == 1
    finetune("--resume", "-o", "mine")
    assert [step["step"] for step in logged("mine", "train_step")] == [1, 2, 3, 4, 5, 6]


def test_a_base_that_is_broken_is_refused_before_it_is_trained(run: Run, tiny: Path, rows: Path) -> None:
    model = Path(shutil.copytree(tiny, "model"))
    weights = load_file(model / "model.safetensors")
    weights["model.norm.weight"][3] = float("nan")
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    result = run("finetune", rows, "-m", "model", "-o", "mine", *BRIEF)
    assert (result.status, "the model's loss is no number before training" in result.stderr) == (1, True)


def test_a_loss_that_explodes_stops_the_run(run: Run, tiny: Path, rows: Path) -> None:
    options = ("--method", "full", "--optimizer", "sgd", "--learning-rate", "10", "--max-grad-norm", "0", "--schedule", "constant")
    result = run("finetune", rows, "-m", tiny, "-o", "mine", *BRIEF, *options, "--max-steps", "40")
    assert result.status == 1
    assert "at step" in result.stderr
    assert "begin again with a lower --learning-rate than 10" in result.stderr


def test_out_of_memory_halves_the_batch_and_says_so(run: Run, tiny: Path, rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finetune(rows, "-m", tiny, "-o", "roomy", *BRIEF)
    real = SupervisedLoss.forward

    def forward(self: SupervisedLoss, batch: Any, labels: torch.Tensor) -> torch.Tensor:
        if len(labels) > 1 and self.training:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, batch, labels)

    monkeypatch.setattr(SupervisedLoss, "forward", forward)
    result = run("finetune", rows, "-m", tiny, "-o", "mine", *BRIEF)
    assert result.status == 0
    assert "out of memory with 4 rows at once: from here on 1" in result.stderr
    ours, theirs = ([step["loss"] for step in logged(folder, "train_step")] for folder in ("mine", "roomy"))
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_a_row_that_does_not_fit_alone_ends_the_run(run: Run, tiny: Path, rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(self: SupervisedLoss, batch: Any, labels: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(SupervisedLoss, "forward", forward)
    result = run("finetune", rows, "-m", tiny, "-o", "mine", *BRIEF)
    assert (result.status, "out of memory" in result.stderr) == (4, True)


def test_a_full_disk_keeps_the_checkpoint_before(run: Run, tiny: Path, rows: Path) -> None:
    def full(folder: Path, *args: Any) -> None:
        if "00000006" in folder.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(folder, *args)

    real = training.write_state
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "write_state", full)
        result = run("finetune", rows, "-m", tiny, "-o", "mine", *BRIEF)
    assert result.status == 1
    assert "no room for the checkpoint of step 6" in result.stderr
    assert "the checkpoint of step 3 is whole" in result.stderr
    finetune("--resume", "-o", "mine")
    finetune(rows, "-m", tiny, "-o", "whole", *BRIEF)
    assert history("mine") == history("whole")


HOLD = """
from pathlib import Path
from aigc_cli.store.run_folder import claim
with claim(Path("mine")):
    print("held", flush=True)
    input()
"""


def test_a_second_run_on_the_same_folder(run: Run, tiny: Path, rows: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    holder = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    result = run("finetune", rows, "-m", tiny, "-o", "mine", *BRIEF)
    assert (result.status, f"another run holds mine (process {holder.pid})" in result.stderr) == (75, True)
    holder.kill()
    holder.communicate()
    finetune(rows, "-m", tiny, "-o", "mine", *BRIEF)  # a killed holder holds nothing


def test_a_folder_with_a_run_is_not_written_to_unless_asked(run: Run, lora_run: Path, tiny: Path, rows: Path) -> None:
    finished = Path(shutil.copytree(lora_run, "mine"))
    before = result_files(finished)
    result = run("finetune", rows, "-m", tiny, "-o", "mine", *BRIEF)
    assert (result.status, "mine holds a finished run" in result.stderr) == (2, True)
    assert result_files(finished) == before
    (finished / "notes.txt").write_text("mine")
    finetune(rows, "-m", tiny, "-o", "mine", *BRIEF, "--method", "full", "--overwrite")
    assert (finished / "model.safetensors").exists()
    assert not (finished / "adapter_model.safetensors").exists()
    assert (finished / "notes.txt").read_text() == "mine"


def test_bad_data_do_not_cost_the_run_that_is_there(run: Run, lora_run: Path, tiny: Path) -> None:
    finished = Path(shutil.copytree(lora_run, "mine"))
    before = result_files(finished)
    write_rows("bad.jsonl", [*exchanges(3), {"prompt": 1, "completion": "x"}])
    assert run("finetune", "bad.jsonl", "-m", tiny, "-o", "mine", *BRIEF, "--overwrite").status == 2
    assert run("finetune", "bad.jsonl", "-m", "./absent", "-o", "mine", *BRIEF, "--overwrite").status == 2
    assert result_files(finished) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--target-modules", "q_prj"), "no matrix of this model is called 'q_prj'"),
        (("--max-length", "100000"), "--max-length 100000 is more than"),
        (("--metric", "exact-match"), "--metric exact-match measures answers"),
    ],
)
def test_a_run_that_is_refused_does_not_cost_the_run_that_is_there(
    options: tuple[str, ...], words: str, run: Run, lora_run: Path, tiny: Path
) -> None:
    finished = Path(shutil.copytree(lora_run, "mine"))
    (finished / "stdin.csv").write_text("prompt,completion\n")
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    rows = "".join(json.dumps({"text": f"row {number}"}) + "\n" for number in range(20))
    result = run("finetune", "-", "-m", tiny, "-o", "mine", *BRIEF, "--overwrite", *options, input=rows)
    assert (result.status, words in result.stderr) == (2, True), result.stderr
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


def test_a_run_that_is_stopped_before_its_first_step_keeps_the_one_before_it(
    run: Run, lora_run: Path, tiny: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = Path(shutil.copytree(lora_run, "mine"))
    before = result_files(finished)
    with monkeypatch.context() as patch:
        patch.setattr("aigc_cli.backends.train.text.prepared_data.write_questions", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        result = run("finetune", rows, "-m", tiny, "-o", "mine", *BRIEF, "--overwrite")
    assert (result.status, "the run before it is kept in mine/.replaced" in result.stderr) == (130, True)
    assert result_files(finished / ".replaced") == before
    finetune("--resume", "-o", "mine")
    assert not (finished / ".replaced").exists()
    assert result_files(finished) == before  # the same run again


def test_a_metric_without_an_answer_to_measure_is_refused(run: Run, tiny: Path, rows: Path) -> None:
    texts = write_rows("texts.jsonl", [{"text": f"row {number}"} for number in range(20)])
    for data, more in ((texts, ()), (rows, ("--val-split", "0"))):
        result = run("finetune", data, "-m", tiny, "-o", "mine", *FLOAT32, "--metric", "exact-match", *more)
        assert (result.status, "no row that is kept back asks for one" in result.stderr) == (2, True)
        assert not Path("mine").exists()


def test_early_stopping_without_a_row_to_measure_on_is_said(run: Run, tiny: Path) -> None:
    one = write_rows("one.jsonl", exchanges(1))
    result = run("finetune", one, "-m", tiny, "-o", "mine", *BRIEF, "--max-steps", "1", "--early-stopping-patience", "2")
    assert (result.status, "--early-stopping-patience has no effect" in result.stderr) == (0, True)


def test_a_foreign_folder_and_a_file(run: Run, tiny: Path, rows: Path) -> None:
    Path("pictures").mkdir()
    Path("pictures/cat.png").touch()
    Path("file").touch()
    for folder, words in (("pictures", "pictures holds files that are not of a run: cat.png"), ("file", "file is a file, not a folder")):
        for more in ((), ("--overwrite",)):
            result = run("finetune", rows, "-m", tiny, "-o", folder, *BRIEF, *more)
            assert (result.status, words in result.stderr) == (2, True)
    assert [path.name for path in Path("pictures").iterdir()] == ["cat.png"]


def test_a_file_of_options_with_flags_on_top(tiny: Path, rows: Path) -> None:
    values = {"data": str(rows), "model": str(tiny), "output": "mine", "dtype": "float32", "device": "cpu", "max-new-tokens": 4}
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    Path("run.toml").write_text("\n".join([*lines, "learning-rate = 1e-3", "max_steps = 3", 'metric = "exact-match"', "raw = true"]))
    finetune("--config", "run.toml", "--learning-rate", "2e-3", "--lora-rank", "2")
    request = json.loads(Path("mine/run.json").read_text())["request"]
    assert (request["optimization"]["learning_rate"], request["pace"]["max_steps"], request["data"]["mode"]) == (2e-3, 3, "raw")
    assert json.loads(Path("mine/adapter_config.json").read_text())["r"] == 2
    assert [event["step"] for event in logged("mine", "eval") if event["name"] == "exact-match"] == [0, 3]


def test_stopping_early_gives_the_best_weights(tiny: Path, rows: Path) -> None:
    options = ("--learning-rate", "0.3", "--schedule", "constant", "--max-grad-norm", "0", "--warmup", "0", "--keep", "1")
    stop = ("--max-steps", "60", "--eval-steps", "1", "--early-stopping-patience", "3", "--batch-size", "8", "--samples", "0")
    result = finetune(rows, "-m", tiny, "-o", "mine", *FLOAT32, *options, *stop, "--json")
    assert result.events[-1]["finish_reason"] == "early_stopping"
    measured = losses("mine")
    best = min(measured, key=lambda step: measured[step])
    assert max(measured) == best + 3 < 60
    finetune(rows, "-m", tiny, "--continue", "mine", "-o", "next", *FLOAT32, "--max-steps", "1", "--samples", "0")
    assert losses("next", "earlier")[0] == pytest.approx(measured[best], rel=1e-5)
    report = json.loads(Path("mine/report.json").read_text())
    assert report["training"]["best_step"] == best

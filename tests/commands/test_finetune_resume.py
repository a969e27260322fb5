"""A run that was killed, stopped or damaged, and gone on with: it ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from aigc_cli.store.manifest import NAME as MANIFEST
from tests.commands.finetuning import FLOAT32, exchanges, finetune, history, logged, result_files, write_rows
from tests.commands.moments import MOMENTS, TRAIN, copied_when_called, watch
from tests.conftest import Result

Run = Callable[..., Result]
PACE = ("--max-steps", "7", "--eval-steps", "3", "--save-steps", "2", "--batch-size", "4", "--samples", "1", "--max-new-tokens", "4")
BF16 = ("--device", "cpu", "--dtype", "bfloat16")
IN_SHORT = ("after the first checkpoint", "checkpoint half written", "last step")


CASES = {
    "full, dropout, accumulation": ("dropping", ("--method", "full", "--gradient-accumulation-steps", "2", *FLOAT32), tuple(MOMENTS)),
    "lora, dropout, packing": ("tiny", ("--lora-dropout", "0.1", "--packing", "--max-length", "128", *FLOAT32), IN_SHORT),
    "lora in bfloat16": ("dropping", BF16, IN_SHORT),
    "full in bfloat16": ("tiny", ("--method", "full", "--optimizer", "adafactor", *BF16), IN_SHORT),
}


@pytest.mark.parametrize("case", CASES)
def test_a_killed_run_ends_as_if_undisturbed(case: str, rows: Path, run: Run, request: pytest.FixtureRequest) -> None:
    model, options, names = CASES[case]
    whole = Path.cwd() / "whole"
    with copied_when_called({name: MOMENTS[name] for name in names}, whole):
        finetune(rows, "-m", request.getfixturevalue(model), "-o", whole, *PACE, *options)
    for name in names:
        result = run("finetune", "--resume", "-o", name)
        assert result.status == 0, f"{name}: {result.stderr}"
        assert history(name) == history(whole), name
        assert result_files(name) == result_files(whole), name
        assert json.loads(Path(name, "run.json").read_text())["status"] == "complete"


@pytest.fixture(scope="module")
def undisturbed(dropping: Path, rows: Path) -> Path:
    """The folder of a finished run. Not to be changed."""
    folder = dropping.parent / "undisturbed"
    finetune(rows, "-m", dropping, "--method", "full", *PACE, *FLOAT32, "-o", folder)
    return folder


@pytest.mark.parametrize(("number", "status", "step"), [(signal.SIGTERM, 143, 4), (signal.SIGINT, 130, 1), (signal.SIGHUP, 143, 2)])
def test_a_signal_saves_before_it_stops(
    number: signal.Signals, status: int, step: int, undisturbed: Path, dropping: Path, rows: Path, run: Run
) -> None:
    options = (rows, "-m", dropping, "--method", "full", *PACE, *FLOAT32)
    with pytest.MonkeyPatch.context() as patch:
        at = f"{TRAIN}.update.Updater.update"
        watch(patch, at, Counter(), lambda _, call: os.kill(os.getpid(), number) if call == step + 1 else None)
        stopped = run("finetune", *options, "-o", "mine")
    assert stopped.status == status
    assert "stopped, with all that was done saved; go on with: aigc finetune --resume -o mine" in stopped.stderr
    assert json.loads(Path("mine/run.json").read_text())["status"] == "stopped"
    assert [checkpoint["step"] for checkpoint in logged("mine", "checkpoint")][-1] == step
    assert run("finetune", *options, "-o", "mine").status == 2
    finetune("--resume", "-o", "mine")
    assert history("mine") == history(undisturbed)
    assert result_files("mine") == result_files(undisturbed)


def test_a_signal_while_the_base_is_measured_leaves_a_run_that_can_be_resumed(tiny: Path, rows: Path, run: Run) -> None:
    with pytest.MonkeyPatch.context() as patch:
        watch(patch, f"{TRAIN}.text.measure.TextMeasurer.evaluate", Counter(), lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        stopped = run("finetune", rows, "-m", tiny, "-o", "mine", *PACE, *FLOAT32, "--json")
    assert (stopped.status, stopped.events[-1]["event"], stopped.events[-1]["status"]) == (143, "error", 143)
    assert len(logged("mine", "train_step")) == 0
    assert len(run("finetune", "--resume", "-o", "mine", "--json").events) > 10


@pytest.fixture
def stopped(tiny: Path, run: Run) -> Path:
    """A run in `mine`, stopped after its fifth step, with checkpoints of steps 4 and 5 at least, on rows of its own."""
    write_rows("own.jsonl", exchanges(40))
    with pytest.MonkeyPatch.context() as patch:
        at = f"{TRAIN}.update.Updater.update"
        watch(patch, at, Counter(), lambda _, call: os.kill(os.getpid(), signal.SIGTERM) if call == 6 else None)
        assert run("finetune", "own.jsonl", "-m", tiny, "-o", "mine", *PACE, *FLOAT32).status == 143
    return Path("mine")


@pytest.mark.parametrize(
    ("file", "flaw"),
    [
        ("trained.safetensors", "its sha256 differs"),
        ("optimizer.pt", "its sha256 differs"),
        (MANIFEST, "manifest.json is damaged"),
        ("position.json", "position.json is missing"),
    ],
)
def test_of_a_damaged_checkpoint_the_one_before_is_taken(file: str, flaw: str, stopped: Path, run: Run) -> None:
    newest = sorted((stopped / "checkpoints").iterdir())[-1]
    damaged = newest / file
    if flaw.endswith("missing"):
        damaged.unlink()
    else:
        content = bytearray(damaged.read_bytes())
        content[len(content) // 2] ^= 1
        damaged.write_bytes(content)
    result = run("finetune", "--resume", "-o", stopped)
    assert result.status == 0
    assert f"{newest} is damaged ({file}" in result.stderr or f"{newest} is damaged ({flaw}" in result.stderr
    assert "the checkpoint before it is taken" in result.stderr
    assert [step["step"] for step in logged(stopped, "train_step")] == list(range(1, 8))


def test_without_a_sound_checkpoint_nothing_is_pretended(stopped: Path, run: Run) -> None:
    for manifest in stopped.glob("checkpoints/*/manifest.json"):
        manifest.unlink()
    result = run("finetune", "--resume", "-o", stopped)
    assert (result.status, "no checkpoint in mine/checkpoints can be used" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--learning-rate", "0.5"), "--learning-rate was not given, is 0.5"),
        (("--batch-size", "2"), "--batch-size was 4, is 2"),
        (("--seed", "3"), "--seed was 0, is 3"),
        (("--dtype", "bfloat16"), "--dtype was float32, is bfloat16"),
        (("--method", "full"), "--method was lora, is full"),
    ],
)
def test_a_changed_option_is_refused(options: tuple[str, ...], words: str, stopped: Path, tiny: Path, run: Run) -> None:
    result = run("finetune", "own.jsonl", "-m", tiny, "-o", stopped, *PACE, *FLOAT32, *options, "--resume")
    assert (result.status, words in result.stderr) == (2, True), result.stderr
    finetune("own.jsonl", "-m", tiny, "-o", stopped, *PACE, *FLOAT32, "--keep", "5", "--resume")


def test_an_option_that_may_change_needs_no_others(stopped: Path, run: Run) -> None:
    result = run("finetune", "--resume", "-o", stopped, "--seed", "3")
    assert (result.status, "--seed was 0, is 3" in result.stderr) == (2, True), result.stderr
    finetune("--resume", "-o", stopped, "--keep", "1")
    assert json.loads((stopped / "run.json").read_text())["request"]["pace"]["keep"] == 1
    assert len(list((stopped / "checkpoints").iterdir())) <= 2


def test_pages_and_event_files_that_were_asked_for_are_still_written(tiny: Path, rows: Path, run: Run) -> None:
    pytest.importorskip("tensorboardX")
    pytest.importorskip("matplotlib")
    with pytest.MonkeyPatch.context() as patch:
        at = f"{TRAIN}.update.Updater.update"
        watch(patch, at, Counter(), lambda _, call: os.kill(os.getpid(), signal.SIGTERM) if call == 3 else None)
        stopped = run("finetune", rows, "-m", tiny, "-o", "mine", *PACE, *FLOAT32, "--tensorboard", "--html")
    assert stopped.status == 143
    shutil.rmtree("mine/tensorboard")
    finetune("--resume", "-o", "mine")
    assert Path("mine/tensorboard").exists()
    assert Path("mine/report.html").exists()


def test_changed_data_are_refused(stopped: Path, run: Run) -> None:
    write_rows("own.jsonl", exchanges(41))
    result = run("finetune", "--resume", "-o", stopped)
    assert (result.status, "own.jsonl has changed since (sha256" in result.stderr) == (2, True)


def test_a_changed_model_is_refused(tiny: Path, rows: Path, run: Run) -> None:
    model = Path(shutil.copytree(tiny, "model"))
    with copied_when_called({"early": MOMENTS["last step"]}, Path.cwd() / "mine"):
        finetune(rows, "-m", model, "-o", Path.cwd() / "mine", *PACE, *FLOAT32)
    (model / "config.json").write_text((model / "config.json").read_text().replace('"rms_norm_eps": 1e-06', '"rms_norm_eps": 1e-05'))
    result = run("finetune", "--resume", "-o", "early")
    assert (result.status, "the files of model have changed" in result.stderr) == (2, True)


def test_what_came_from_stdin_is_still_there(tiny: Path, run: Run) -> None:
    text = write_rows("own.jsonl", exchanges(40)).read_text()
    whole = Path.cwd() / "whole"
    with copied_when_called({"early": MOMENTS["last step"]}, whole):
        finetune("-", "-m", tiny, "-o", whole, *PACE, *FLOAT32, input=text)
    finetune("--resume", "-o", "early")
    assert result_files("early") == result_files(whole)


def test_a_finished_run_is_not_resumed_and_nothing_of_it_changes(lora_run: Path, run: Run) -> None:
    before = result_files(lora_run)
    result = run("finetune", "--resume", "-o", lora_run)
    assert (result.status, "is finished: there is nothing to resume" in result.stderr) == (2, True)
    assert result_files(lora_run) == before

"""kill -9 at random moments: what a run leaves behind is always enough to go on, and it ends as an undisturbed one does."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.backends.tiny_models import build_model
from tests.commands.finetuning import FLOAT32, exchanges, history, result_files, write_rows

KILLS = 20
PACE = ("--max-steps", "300", "--eval-steps", "10", "--save-steps", "3", "--batch-size", "4", "--samples", "1", "--max-new-tokens", "4")
CASES = {
    "full": ("gpt2", ("--method", "full", "--gradient-accumulation-steps", "2")),  # GPT-2 has dropout
    "lora": ("llama", ("--lora-dropout", "0.1", "--packing", "--max-length", "128")),
}


def start(*args: str | Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "aigc_cli", "finetune", *map(str, args)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0", "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr.decode()


def kill_at_a_random_moment(process: subprocess.Popen[bytes], folder: Path, chance: random.Random) -> bool:
    """One in five while it starts, the others once it trains: so many log lines later, and then a little. Whether it was still running.

    None goes further than some twenty steps, however fast the machine: the run outlasts the twenty.
    """
    size = size_of_log(folder)

    def has_trained() -> bool:  # a resume first cuts the log
        return size_of_log(folder) not in (size, 0)

    if chance.random() < 0.2:
        wait_until(lambda: has_trained() or process.poll() is not None, seconds=chance.uniform(0.0, 6.0))
    else:
        grown = size + chance.uniform(0.0, 4000.0)  # bytes: up to some fifteen steps
        wait_until(lambda: has_trained() or process.poll() is not None)
        wait_until(lambda: size_of_log(folder) >= grown or process.poll() is not None)
        time.sleep(chance.uniform(0.0, 0.03))
    was_running = process.poll() is None
    process.kill()
    process.communicate()
    return was_running


def wait_until(condition: Callable[[], bool], *, seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)


def size_of_log(folder: Path) -> int:
    try:
        return (folder / "log.jsonl").stat().st_size
    except FileNotFoundError:
        return 0


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_twenty_kills(case: str, tmp_path: Path) -> None:
    architecture, options = CASES[case]
    model = build_model(tmp_path / "model", architecture)
    begun = (write_rows(tmp_path / "data.jsonl", exchanges(60)), "-m", model, *PACE, *options, *FLOAT32)
    whole, mine = tmp_path / "whole", tmp_path / "mine"
    finish(start(*begun, "-o", whole))
    chance, kills = random.Random(3), 0
    for _ in range(KILLS):
        has_begun = (mine / "run.json").exists()
        process = start("--resume", "-o", mine) if has_begun else start(*begun, "-o", mine)
        kills += kill_at_a_random_moment(process, mine, chance)
        if is_complete(mine):
            break
    assert kills == KILLS, f"the run was over after {kills} kills: make it longer"
    finish(start("--resume", "-o", mine))
    assert history(mine) == history(whole)
    assert result_files(mine) == result_files(whole)


def is_complete(folder: Path) -> bool:
    try:
        return bool(json.loads((folder / "run.json").read_text())["status"] == "complete")
    except FileNotFoundError:
        return False

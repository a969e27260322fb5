"""What the tests of `aigc finetune` share: rows, options that make a run short, and what a run leaves behind."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.conftest import Result, run_here

FLOAT32 = ("--device", "cpu", "--dtype", "float32")
BRIEF = (*FLOAT32, "--max-steps", "6", "--eval-steps", "3", "--batch-size", "4", "--samples", "1", "--max-new-tokens", "4")
OF_THE_CLOCK = ("t", "tokens_per_second", "pictures_per_second", "peak_memory")
IDS = torch.arange(40)[None]


def exchanges(count: int, first: int = 0) -> list[dict[str, Any]]:
    """Prompts and completions, no two alike."""
    return [
        {"prompt": f"what is {number}? 第{number}个", "completion": f"The answer is {number * 7 % 13}, 你好。"}
        for number in range(first, first + count)
    ]


def write_rows(path: Path | str, rows: Iterable[dict[str, Any]]) -> Path:
    path = Path(path)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def finetune(*args: str | Path, input: str | bytes | None = None) -> Result:
    """A run that must succeed."""
    result = run_here("finetune", *args, input=input)
    assert result.status == 0, result.stderr
    return result


def logged(folder: Path | str, event: str) -> list[dict[str, Any]]:
    """The events of that name in a run's log, without what the clock and the machine say."""
    lines = (Path(folder) / "log.jsonl").read_text("utf-8").split("\n")
    events = [json.loads(line) for line in lines if line]
    return [{key: each[key] for key in each if key not in OF_THE_CLOCK} for each in events if each["event"] == event]


def losses(folder: Path | str, split: str = "validation") -> dict[int, float]:
    """By step; the last measured counts."""
    return {each["step"]: each["value"] for each in logged(folder, "eval") if (each["name"], each["split"]) == ("loss", split)}


def history(folder: Path | str) -> list[list[dict[str, Any]]]:
    """All that must be the same, whatever happened to a run on its way: every step, figure, and answer."""
    return [logged(folder, event) for event in ("train_step", "eval", "answer")]


def result_files(folder: Path | str) -> dict[str, bytes]:
    """The result of a run, without what was written about it: report and card hold times."""
    about = ("log.jsonl", "report.json", "README.md", "run.json", ".lock")
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir()) if path.is_file() and path.name not in about}


def logits(folder: Path) -> torch.Tensor:
    """What transformers itself computes from a folder."""
    with torch.no_grad():
        found: torch.Tensor = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()(IDS).logits
    return found


def token_count(model: Path, text: str) -> int:
    return len(AutoTokenizer.from_pretrained(model)(text).input_ids)


def changed_weights(before: Path, after: Path) -> set[str]:
    """Names of the tensors that differ between two models' folders."""
    old, new = load_file(before / "model.safetensors"), load_file(after / "model.safetensors")
    assert old.keys() == new.keys()
    return {name for name in old if not torch.equal(old[name], new[name])}

"""`aigc finetune` where the world around it is not as it should be: launchers, full disks, data in one line."""

from __future__ import annotations

import errno
import json
import re
from pathlib import Path
from typing import Any

import pytest

from aigc_cli.backends.train.text.token_store import TokenStoreWriter
from aigc_cli.store import event_log
from tests.backends.tiny_models import build_model
from tests.commands.finetuning import BRIEF, exchanges, finetune, logged
from tests.conftest import run_here


def no_room(*args: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_under_a_launcher_of_several_processes_it_is_refused(
    tiny: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """accelerate would wait for the others without end."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    for start in (["-o", tmp_path / "mine"], ["--dry-run"]):
        result = run_here("finetune", rows, "-m", tiny, *start)
        assert (result.status, "one of 2" in result.stderr) == (2, True)
    assert not (tmp_path / "mine").exists()


def test_accumulation_that_a_launcher_was_told_of_changes_no_gradient(
    tiny: Path, rows: Path, lora_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "4")
    finetune(rows, "-m", tiny, "-o", tmp_path / "mine", *BRIEF)
    assert logged(tmp_path / "mine", "train_step") == logged(lora_run, "train_step")


def test_float16_on_a_cpu_is_refused(tiny: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aigc_cli.backends.device.TorchProbe.cpu_float16", lambda probe: "avx512_fp16")
    result = run_here("finetune", rows, "-m", tiny, "-o", tmp_path / "mine", "--device", "cpu", "--dtype", "float16")
    assert (result.status, "float16" in result.stderr) == (2, True)
    assert not (tmp_path / "mine").exists()


def test_a_disk_that_is_full_before_the_first_step_leaves_the_folder_free(
    tiny: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(TokenStoreWriter, "add", no_room)
        result = run_here("finetune", rows, "-m", tiny, "-o", tmp_path / "mine", *BRIEF)
    assert (result.status, "no room is left" in result.stderr, "Traceback" in result.stderr) == (1, True, False)
    finetune(rows, "-m", tiny, "-o", tmp_path / "mine", *BRIEF)


def test_a_disk_that_fills_while_the_log_is_written_is_said_and_the_run_goes_on_later(
    tiny: Path, rows: Path, lora_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_line = event_log.to_line
    with monkeypatch.context() as patch:
        patch.setattr(event_log, "to_line", lambda event: no_room() if getattr(event, "step", 0) == 5 else to_line(event))
        result = run_here("finetune", rows, "-m", tiny, "-o", tmp_path / "mine", *BRIEF, "--json")
    error = json.loads(result.stdout.splitlines()[-1])
    assert (result.status, error["event"]) == (1, "error")
    assert "no room is left" in error["message"]
    assert "--resume" in error["hint"]
    finetune("--resume", "-o", tmp_path / "mine")
    assert logged(tmp_path / "mine", "train_step") == logged(lora_run, "train_step")


def test_a_list_of_rows_in_one_line(tiny: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.json"
    data.write_text(json.dumps(exchanges(40)), "utf-8")
    finetune(data, "-m", tiny, "-o", tmp_path / "mine", *BRIEF, "--val-split", "0.3", "--samples", "3")
    assert len({answer["prompt"] for answer in logged(tmp_path / "mine", "answer")}) == 3
    hardest = json.loads((tmp_path / "mine" / "report.json").read_text("utf-8"))["hardest"]
    assert len({row["row"] for row in hardest}) == 10
    assert all(json.loads(row["text"]) == exchanges(40)[row["row"] - 1] for row in hardest)
    assert f"data.json:1 (row {hardest[0]['row']}), loss " in run_here("report", tmp_path / "mine").stdout


def test_a_list_in_one_line_says_which_of_its_rows_is_bad(tiny: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.json"
    data.write_text(json.dumps([{"prompt": "x"}, *exchanges(16), {"prompt": "y"}]), "utf-8")
    said = run_here("finetune", data, "-m", tiny, "--dry-run").stderr
    assert "data.json:1 (row 1): it has prompt, but no completion\n" in said
    assert "data.json:1 (row 18): it has prompt, but no completion\n" in said


def test_where_only_some_rows_were_looked_at_for_the_hardest_it_is_said(tiny: Path, rows: Path, lora_run: Path, tmp_path: Path) -> None:
    said = finetune(rows, "-m", tiny, "-o", tmp_path / "mine", *BRIEF, "--max-eval-samples", "5").stdout
    assert "Rows with the highest loss, of 5 rows drawn from 39\n" in said
    assert "Rows with the highest loss\n" in run_here("report", lora_run).stdout


def test_a_text_learnt_in_pieces_is_named_once_among_the_hardest(tiny: Path, tmp_path: Path) -> None:
    rows = [{"text": (f"狐狸{row}跳过懒狗" if row < 4 else f"the dog sleeps {row} ") * 40} for row in range(40)]
    (tmp_path / "long.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    finetune(tmp_path / "long.jsonl", "-m", tiny, "-o", tmp_path / "mine", *BRIEF, "--max-length", "32", "--max-eval-samples", "1000")
    hardest = json.loads((tmp_path / "mine" / "report.json").read_text("utf-8"))["hardest"]
    assert len({row["line"] for row in hardest}) == 10
    assert [row["loss"] for row in hardest] == sorted((row["loss"] for row in hardest), reverse=True)


def test_names_that_are_not_utf_8(tiny: Path, rows: Path, tmp_path: Path) -> None:
    data, folder = tmp_path / "\udcff.jsonl", tmp_path / "mine"
    data.write_bytes(rows.read_bytes())
    refused = run_here("finetune", data, "-m", tiny, "-o", tmp_path / "\udcfe", *BRIEF)
    assert (refused.status, "is not UTF-8" in refused.stderr, (tmp_path / "\udcfe").exists()) == (2, True, False)
    said = finetune(data, "-m", tiny, "-o", folder, *BRIEF).stdout
    assert "\\udcff.jsonl:" in said
    assert json.loads((folder / "report.json").read_bytes())["data"]["files"][0]["path"] == str(data)
    assert "udcff.jsonl" in (folder / "README.md").read_text("utf-8")
    result = run_here("report", folder, "--html", tmp_path / "page.html")
    assert (result.status, "udcff.jsonl" in (tmp_path / "page.html").read_text("utf-8")) == (0, True)


def test_of_a_family_whose_memory_cannot_be_told_no_dry_run_says_that_it_fits(rows: Path, tmp_path: Path) -> None:
    mamba = build_model(tmp_path / "mamba", "mamba")
    dry_run = ("finetune", rows, "-m", mamba, "--method", "full", *BRIEF, "--dry-run")
    result = run_here(*dry_run)
    assert (result.status, bool(re.search(r"total +not known\n *free .*whether it fits cannot be told", result.stdout))) == (0, True)
    found = run_here(*dry_run, "--json").events[-1]
    assert (found["total_memory"], found["fits"]) == (None, None)

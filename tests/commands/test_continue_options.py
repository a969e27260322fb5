"""`aigc finetune --continue`: what is taken over, and what contradicts the earlier result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aigc_cli.commands.finetune_continue import continued
from aigc_cli.core.errors import UsageError
from aigc_cli.core.finetune import DataChoice, FinetuneRequest, Tuning
from aigc_cli.store.run_record import RunRecord, Status, write_record


def earlier(folder: Path, *, status: Status = "complete", **tuning: Any) -> str:
    folder.mkdir()
    request = FinetuneRequest(model="base", data=DataChoice(paths=("数据.jsonl",)), tuning=Tuning(**tuning))
    record = RunRecord(
        aigc="0",
        created="",
        status=status,
        working_folder="/elsewhere",
        request=request,
        files=(),
        fingerprint="",
        device="cpu",
        dtype="float32",
        versions={},
    )
    write_record(folder, record)
    return str(folder)


def test_an_adapter_goes_on_in_its_shape(tmp_path: Path) -> None:
    mine = earlier(tmp_path / "mine", method="dora", lora_rank=4, target_modules="q_proj,v_proj", lora_dropout=0.1)
    shape = {"lora_rank": 4, "lora_alpha": 8.0, "lora_dropout": 0.1, "target_modules": "q_proj,v_proj"}
    assert continued({"continue": mine, "seed": 3}) == {"continue": mine, "seed": 3, "model": "base", "method": "dora", **shape}


@pytest.mark.parametrize(
    "option",
    [{"lora_rank": 16}, {"lora_alpha": 32.0}, {"lora_dropout": 0.1}, {"target_modules": "auto"}],
    ids=lambda option: str([*option]),
)
def test_an_option_that_contradicts_the_adapter_is_refused(tmp_path: Path, option: dict[str, Any]) -> None:
    mine = earlier(tmp_path / "mine", lora_rank=4, target_modules="q_proj")
    with pytest.raises(UsageError, match="contradicts --continue"):
        continued({"continue": mine, **option})


def test_an_option_that_repeats_the_adapters_own_is_not(tmp_path: Path) -> None:
    mine = earlier(tmp_path / "mine", lora_rank=4)
    assert continued({"continue": mine, "lora_rank": 4, "lora_alpha": 8.0, "target_modules": "auto"})["lora_rank"] == 4


@pytest.mark.parametrize(
    ("before", "asked", "is_taken"),
    [
        ("lora", "qlora", True),
        ("qlora", "lora", True),
        ("lora", "dora", False),
        ("dora", "lora", False),
        ("lora", "full", False),
        ("full", "lora", False),
        ("full", "freeze", True),
    ],
)
def test_methods_that_follow_one_another(tmp_path: Path, before: str, asked: str, is_taken: bool) -> None:
    mine = earlier(tmp_path / "mine", method=before)
    options = {"continue": mine, "method": asked}
    if is_taken:
        assert continued(options)["method"] == asked
    else:
        with pytest.raises(UsageError, match="holds a"):
            continued(options)


def test_a_whole_model_goes_on_as_one_with_the_same_layers(tmp_path: Path) -> None:
    assert continued({"continue": earlier(tmp_path / "a", method="full")})["method"] == "full"
    frozen = earlier(tmp_path / "b", method="freeze", train_layers="last:2")
    assert continued({"continue": frozen})["train_layers"] == "last:2"
    assert "train_layers" not in continued({"continue": frozen, "freeze_layers": "first:1"})


def test_a_whole_model_is_its_own_base(tmp_path: Path) -> None:
    mine = earlier(tmp_path / "mine", method="full")
    with pytest.raises(UsageError, match="-m other contradicts --continue"):
        continued({"continue": mine, "model": "other"})


def test_an_unfinished_run_is_to_be_finished_first(tmp_path: Path) -> None:
    mine = earlier(tmp_path / "mine", status="stopped")
    with pytest.raises(UsageError, match="is not finished") as error:
        continued({"continue": mine})
    assert "--resume -o" in (error.value.hint or "")

"""Options from a file: by the names of their flags, checked as these are."""

from __future__ import annotations

from pathlib import Path

import pytest

from aigc_cli.core.errors import UsageError
from aigc_cli.store.train_config import known_options, read_config


def config(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(text, "utf-8")
    return path


def test_flags_by_name(tmp_path: Path) -> None:
    path = config(
        tmp_path,
        """
        data = ["数据.jsonl", "~/more"]
        validation = "v.jsonl"
        model = "builtin:text"
        output = "mine"
        learning-rate = 1e-4
        epochs = 2
        lora_rank = 8
        packing = true
        method = "dora"
        metric = ["bleu", "chrf"]
        continue = "earlier"
        dtype = "bfloat16"
        instruct = true
        raw = false
        """,
    )
    found = read_config(path)
    assert found == {
        "data": ("数据.jsonl", str(Path.home() / "more")),
        "validation": ("v.jsonl",),
        "model": "builtin:text",
        "output": "mine",
        "learning_rate": 1e-4,
        "epochs": 2.0,
        "lora_rank": 8,
        "packing": True,
        "method": "dora",
        "metrics": ("bleu", "chrf"),
        "continue": "earlier",
        "dtype": "bfloat16",
        "mode": "chat",
    }
    assert isinstance(found["epochs"], float)


def test_every_field_of_the_request_can_be_set() -> None:
    assert {"data", "model", "output", "device", "seed", "val_split", "train_layers", "warmup", "keep", "samples"} <= known_options().keys()
    assert {"image", "resolution", "flip", "min_snr_gamma", "average", "sample_prompts", "train_text_encoder"} <= known_options().keys()
    assert not {"paths", "continue_from", "tuning", "diffusion", "mode"} & known_options().keys()


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("learning_rte = 1", "there is no option 'learning_rte'", "did you mean learning_rate"),
        ("'学习率' = 1", "'学习率'", "there is: "),
        ("[optimization]\nlearning_rate = 1.0", r"no sections such as \[optimization\]", "flag's name"),
        ("epochs = 1\nepochs = 2", "overwrite a value", "TOML"),
        ("val-split = 0.1\nval_split = 0.2", "val_split is set twice", ""),
        ("raw = true\ninstruct = true", "raw and instruct contradict", "leave out"),
        ("metric = 'bleu'\nmetrics = ['chrf']", "metrics is set twice", ""),
        ("lora_rank = 8.5", "lora_rank must be a whole number, not 8.5", ""),
        ("lora_rank = true", "lora_rank must be a whole number, not True", ""),
        ("learning-rate = '1e-4'", "learning-rate must be a number, not '1e-4'", ""),
        ("learning_rate = nan", "learning_rate must be a number, not nan", ""),
        ("packing = 1", "packing must be true or false, not 1", ""),
        ("method = 'lor'", "method must be one of full, freeze, lora, dora, qlora, not 'lor'", ""),
        ("metrics = ['bleu', 'rouge']", "metrics must be one of .*, or a list of such, not 'rouge'", ""),
        ("data = [1]", "data must be text, or a list of such, not 1", ""),
        ("model = ['a', 'b']", "model must be text, not", ""),
        ("learning_rate: 1e-4", "line 1", "should be TOML"),
    ],
)
def test_what_cannot_be_meant_is_said(tmp_path: Path, text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read_config(config(tmp_path, text))
    assert caught.value.message.startswith(str(tmp_path / "run.toml"))
    assert hint in caught.value.hint


@pytest.mark.parametrize("spelling", ["from-scratch", "from_scratch"])
def test_the_tables_of_a_new_model_are_for_from_scratch(tmp_path: Path, spelling: str) -> None:
    path = config(tmp_path, f'{spelling} = "elsewhere/run.toml"\nepochs = 2\n[config]\nmodel_type = "llama"\n')
    assert read_config(path) == {"from_scratch": str(path), "epochs": 2.0}
    with pytest.raises(UsageError, match=r"from-scratch names model\.json, and this file has tables"):
        read_config(config(tmp_path, 'from-scratch = "model.json"\n[config]\n'))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none.toml: no such file"):
        read_config(tmp_path / "none.toml")

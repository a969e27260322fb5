"""What --adapter names, told from its files alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save_file

from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import ModelError, UsageError
from aigc_cli.models.adapters import Adapter, find_adapter, is_trained_on, split_scale
from aigc_cli.models.usage import read_mode, write_mode


def make_adapter(folder: Path, weights: str = "adapter_model.safetensors", **config: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", **config}))
    if weights.endswith(".safetensors"):
        save_file({}, folder / weights)
    elif weights:
        (folder / weights).write_bytes(b"PK\x03\x04")
    return folder


@pytest.mark.parametrize(
    ("text", "path", "scale"),
    [
        ("mine", "mine", 1.0),
        ("mine/:0.5", "mine", 0.5),
        ("mine:-1", "mine", -1.0),
        ("mine:1e-1", "mine", 0.1),
        (r"C:\mine", r"C:\mine", 1.0),
        (r"C:\mine:0.5", r"C:\mine", 0.5),
        ("我的:2", "我的", 2.0),
        ("there:0.5", "there:0.5", 1.0),  # a folder of that name
        ("there:0.5:0.25", "there:0.5", 0.25),
    ],
)
def test_a_scale_follows_the_last_colon(text: str, path: str, scale: float) -> None:
    Path("there:0.5").mkdir()
    assert split_scale(text) == (Path(path), scale)


@pytest.mark.parametrize("scale", ["half", "", "nan", "inf", "0,5"])
def test_a_scale_that_is_no_number(scale: str) -> None:
    make_adapter(Path("mine"))
    with pytest.raises(UsageError, match="is not a number"):
        find_adapter(f"mine:{scale}")


def test_an_adapter_is_found_with_what_it_says_of_itself() -> None:
    make_adapter(Path("mine"), base_model_name_or_path="org/base")
    write_mode(Path("mine"), "raw")
    assert find_adapter("mine:0.5") == Adapter(Path("mine"), 0.5, "org/base", "raw")
    assert find_adapter("mine/adapter_model.safetensors").path == Path("mine")
    (Path("mine") / "aigc.json").write_text('{"mode": "raw", "revision": "0123abc"}')
    assert find_adapter("mine").revision == "0123abc"


def test_what_is_no_adapter_is_told_apart(tmp_path: Path) -> None:
    whole, run, empty = (tmp_path / name for name in ("whole", "run", "empty"))
    for folder in (whole, run, empty):
        folder.mkdir()
    (whole / "config.json").write_text("{}")
    (run / "run.json").write_text("{}")
    (tmp_path / "file").touch()
    make_adapter(tmp_path / "ia3", peft_type="IA3")
    make_adapter(tmp_path / "tokens", trainable_token_indices=[1, 2])
    make_adapter(tmp_path / "pickle", "adapter_model.bin")
    make_adapter(tmp_path / "bare", "")
    (make_adapter(tmp_path / "torn") / "adapter_model.safetensors").write_bytes(b"\xff" * 20)
    (make_adapter(tmp_path / "broken") / "adapter_config.json").write_text("{")
    expected = {
        "nowhere": "there is no adapter",
        "whole": "is no adapter but a whole model",
        "run": "holds a run that has no result yet",
        "empty": "holds no adapter: it has no adapter_config.json",
        "file": "is a file, not the folder of an adapter",
        "ia3": "is an adapter of the type IA3",
        "tokens": "is a LoRA with trainable_token_indices, which aigc cannot merge",
        "pickle": "has its weights only as a pickle: adapter_model.bin",
        "bare": "has no weights",
        "torn": "is damaged",
        "broken": "is damaged: it is no JSON",
    }
    for name, words in expected.items():
        with pytest.raises(ModelError) as caught:
            find_adapter(str(tmp_path / name))
        assert words in caught.value.message


@pytest.mark.parametrize(
    ("recorded", "name", "path"),
    [
        ("Qwen/Qwen2.5-0.5B", "qwen", "/cache/hub/models--Qwen--Qwen2.5-0.5B/snapshots/0123"),
        ("/somebody/else/qwen2.5-0.5b/", "Qwen/Qwen2.5-0.5B@main", "/x"),
        (r"D:\models\base", "./base", "base"),
        ("builtin:text", "builtin:text", "/site-packages/aigc_cli/builtin/text"),
        (None, "anything", "/x"),
    ],
)
def test_a_base_is_recognised_by_its_name(recorded: str | None, name: str, path: str) -> None:
    assert is_trained_on(Adapter(Path("a"), base=recorded), ModelSource(name, "folder", Path(path)))
    assert recorded is None or not is_trained_on(Adapter(Path("a"), base=recorded), ModelSource("org/other", "folder", Path("/other")))


def test_a_mode_is_read_back_and_checked(tmp_path: Path) -> None:
    assert read_mode(tmp_path) is None
    write_mode(tmp_path, "chat")
    assert read_mode(tmp_path) == "chat"
    (tmp_path / "aigc.json").write_text('{"mode": "loud"}')
    with pytest.raises(ModelError, match="the mode is chat or raw, not 'loud'"):
        read_mode(tmp_path)

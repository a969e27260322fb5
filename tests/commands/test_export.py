"""`aigc export` as a user meets it, on models of two layers."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from transformers import AutoModelForCausalLM

from aigc_cli.models.usage import write_mode
from aigc_cli.store.run_record import read_record, write_record
from tests.backends.tiny_adapters import build_adapter, peft_logits
from tests.backends.tiny_models import build_model
from tests.conftest import Result
from tests.store.records import record

Run = Callable[..., Result]
IDS = torch.arange(40)[None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `base`, and `mine`, its adapter."""
    folder = tmp_path_factory.mktemp("export")
    build_model(folder / "base", "llama", hidden_size=64, initializer_range=0.1)
    build_adapter(folder / "mine", folder / "base")
    return folder


@pytest.fixture
def mine(made: Path, tmp_path: Path) -> Path:
    """The adapter, as finetune leaves it: with its run's files and its tokenizer."""
    folder = tmp_path / "我的"
    shutil.copytree(made / "mine", folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(made / "base" / name, folder)
    (folder / "checkpoints").mkdir()
    (folder / "log.jsonl").touch()
    begin_run(folder, model=str(made / "base"), status="complete")
    write_mode(folder, "raw")
    return folder


def begin_run(folder: Path, *, model: str, status: Any) -> None:
    made = record()
    write_record(folder, dataclasses.replace(made, request=dataclasses.replace(made.request, model=model), status=status))


def logits(folder: Path) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(IDS).logits
    return result


def test_merged_is_base_and_adapter_in_one(run: Run, made: Path, mine: Path) -> None:
    result = run("export", mine, "--to", "merged", "-o", "out")
    assert (result.status, result.stdout) == (0, "out\n")
    torch.testing.assert_close(logits(Path("out")), peft_logits(made / "base", made / "mine", IDS), atol=1e-5, rtol=0)
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "aigc.json",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    said = [
        run("complete", "你好", "--temperature", "0", "--json", "--device", "cpu", "--dtype", "float32", *model, input="").events
        for model in (["-m", "out"], ["-m", made / "base", "--adapter", mine])
    ]
    texts = ["".join(event["text"] for event in events if event["event"] == "text") for events in said]
    assert texts[0] == texts[1] != ""
    assert [events[-1]["mode"] for events in said] == ["raw", "raw"]  # aigc.json says so, though there is a template


def test_merged_in_another_number_format(run: Run, mine: Path) -> None:
    assert run("export", mine, "--to", "merged", "-o", "out", "--dtype", "bfloat16").status == 0
    assert json.loads(Path("out/config.json").read_text())["dtype"] == "bfloat16"
    assert AutoModelForCausalLM.from_pretrained("out").dtype == torch.bfloat16


def test_settings_that_transformers_would_refuse_are_kept(run: Run, tmp_path: Path) -> None:
    base = build_model(tmp_path / "base", "llama")
    settings = {"temperature": 0.6, "do_sample": False, "eos_token_id": [0, 2]}
    (base / "generation_config.json").write_text(json.dumps(settings))
    assert run("export", base, "--to", "merged", "-o", "out").status == 0
    assert settings.items() <= json.loads(Path("out/generation_config.json").read_text()).items()


def test_adapter_holds_what_peft_needs_and_no_files_of_the_run(run: Run, made: Path, mine: Path) -> None:
    result = run("export", mine, "--to", "adapter", "-o", "out", "--json")
    size = sum(path.stat().st_size for path in Path("out").iterdir())
    assert result.events == [{"path": "out", "form": "adapter", "size": size}]
    names = {path.name for path in Path("out").iterdir()}
    assert names >= {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "aigc.json"}
    assert not names & {"run.json", "log.jsonl", "checkpoints"}
    torch.testing.assert_close(peft_logits(made / "base", Path("out"), IDS), peft_logits(made / "base", mine, IDS))


def test_gguf_goes_to_a_file_or_into_a_folder(run: Run, mine: Path) -> None:
    assert run("export", mine, "--to", "gguf", "-o", "a.gguf").stdout == "a.gguf\n"
    Path("models").mkdir()
    result = run("export", mine, "--to", "gguf", "-o", "models", "--gguf-type", "q8_0")
    assert result.stdout == "models/我的-q8_0.gguf\n"
    assert Path("models/我的-q8_0.gguf").stat().st_size < Path("a.gguf").stat().st_size
    plain, tuned = (
        run("complete", "hi", "--raw", "--temperature", "0", "--max-new-tokens", "8", "-m", m, input="") for m in ("a.gguf", mine)
    )
    assert plain.status == 0
    assert tuned.status == 3
    assert f"--adapter {mine}" in tuned.stderr


def test_a_whole_model_is_exported_without_an_adapter(run: Run, made: Path) -> None:
    assert run("export", made / "base", "--to", "merged", "-o", "out").status == 0
    assert torch.equal(logits(Path("out")), logits(made / "base"))
    result = run("export", made / "base", "--to", "adapter", "-o", "out2")
    assert (result.status, "there is no adapter in it" in result.stderr) == (2, True)
    assert "it needs no -m" in run("export", made / "base", "--to", "merged", "-o", "out2", "-m", "x").stderr


def test_a_gguf_base(run: Run, made: Path) -> None:
    assert run("export", made / "base", "--to", "gguf", "-o", "base.gguf").status == 0
    assert run("export", made / "mine", "--to", "merged", "-o", "out", "-m", "base.gguf").status == 0
    torch.testing.assert_close(logits(Path("out")), peft_logits(made / "base", made / "mine", IDS), atol=0.1, rtol=0)
    result = run("export", made / "mine", "--to", "gguf", "-o", "mine.gguf", "-m", "base.gguf")
    assert (result.status, result.stdout) == (0, "mine.gguf\n"), result.stderr


def test_a_run_that_was_stopped_is_exported_with_a_word(run: Run, made: Path, mine: Path) -> None:
    begin_run(mine, model=str(made / "base"), status="stopped")
    result = run("export", mine, "--to", "adapter", "-o", "out")
    assert result.status == 0
    assert "this run was stopped" in result.stderr
    (mine / "adapter_config.json").unlink()
    result = run("export", mine, "--to", "adapter", "-o", "out2")
    assert result.status == 3
    assert "a run that has no result yet" in result.stderr
    assert f"aigc finetune --resume -o {mine}" in result.stderr


def test_what_is_no_result_is_refused(run: Run, mine: Path) -> None:
    assert "there is no folder nowhere" in run("export", "nowhere", "--to", "merged", "-o", "out").stderr
    Path("empty").mkdir()
    assert "empty holds no result of training" in run("export", "empty", "--to", "merged", "-o", "out").stderr
    begin_run(mine, model="gone/base", status="complete")
    result = run("export", mine, "--to", "merged", "-o", "out")
    assert (result.status, Path("out").exists()) == (3, False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--to", "merged"], "'--output'"),
        (["-o", "out"], "'--to'"),
        (["--to", "zip", "-o", "out"], "zip"),
        (["--to", "gguf", "-o", "out.gguf", "--dtype", "float16"], "--dtype belongs to --to merged"),
        (["--to", "merged", "-o", "out", "--gguf-type", "f16"], "--gguf-type belongs to --to gguf"),
        (["--to", "gguf", "-o", "notes.txt"], "neither a .gguf file's name nor a folder"),
        (["--to", "merged", "-o", "nowhere/out"], "there is no folder nowhere"),
        (["--to", "adapter", "-o", "我的"], "would take the place of what is exported"),
        (["--to", "adapter", "-o", ".", "--overwrite"], "would take the place of what is exported"),
    ],
)
def test_bad_options_are_refused(run: Run, mine: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str) -> None:
    monkeypatch.chdir(mine.parent)
    Path("notes.txt").touch()
    result = run("export", mine, *arguments)
    assert result.status == 2
    assert words in result.stderr


def test_what_is_there_is_kept_unless_it_may_be_overwritten(run: Run, mine: Path) -> None:
    Path("notes").mkdir()
    Path("notes/precious").touch()
    assert "notes is there already" in run("export", mine, "--to", "adapter", "-o", "notes").stderr
    assert "that no export made" in run("export", mine, "--to", "adapter", "-o", "notes", "--overwrite").stderr
    assert Path("notes/precious").exists()
    assert run("export", mine, "--to", "merged", "-o", "out").status == 0
    assert run("export", mine, "--to", "adapter", "-o", "out").status == 2
    assert run("export", mine, "--to", "adapter", "-o", "out", "--overwrite").status == 0
    assert not Path("out/model.safetensors").exists()
    assert [path.name for path in Path().iterdir() if path.name.startswith(".")] == []


def test_too_little_room_is_said_before_anything_is_written(run: Run, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 10**5))
    for to, name in (("merged", "out"), ("gguf", "out.gguf")):
        result = run("export", mine, "--to", to, "-o", name)
        assert result.status == 1
        assert "and" in result.stderr
        assert "KiB free" in result.stderr
        assert list(Path().iterdir()) == []


def test_a_disk_that_fills_up_leaves_nothing(run: Run, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gguf.GGUFWriter.write_tensor_data", full)
    monkeypatch.setattr("shutil.copyfile", full)
    for to, name in (("gguf", "out.gguf"), ("adapter", "out")):
        result = run("export", mine, "--to", to, "-o", name)
        assert result.status == 1
        assert "is not written: the disk is full" in result.stderr
        assert list(Path().iterdir()) == []


def test_a_folder_that_cannot_be_replaced_stays(run: Run, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("export", mine, "--to", "adapter", "-o", "out").status == 0
    (Path("out") / "notes.txt").touch()
    rename = os.rename

    def refused(source: Path, target: Path) -> None:
        if ".tmp-" in Path(source).name:
            raise PermissionError(errno.EACCES, "Permission denied")
        rename(source, target)

    monkeypatch.setattr("os.rename", refused)
    assert run("export", mine, "--to", "adapter", "-o", "out", "--overwrite").status == 1
    assert (Path("out") / "notes.txt").exists()
    assert [path.name for path in Path().iterdir()] == ["out"]


def test_what_a_killed_export_left_is_cleared_away(run: Run, mine: Path) -> None:
    for name in (".out.tmp-0a", ".out.old-0b", ".other.tmp-0c"):
        Path(name).mkdir()
        Path(name, "config.json").touch()
    assert run("export", mine, "--to", "adapter", "-o", "out").status == 0
    assert sorted(path.name for path in Path().iterdir()) == [".other.tmp-0c", "out"]


def test_what_a_killed_export_was_about_to_replace_is_not_lost(run: Run, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".out.old-0b").mkdir()
    Path(".out.old-0b/config.json").touch()
    monkeypatch.setattr("shutil.copyfile", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
    assert run("export", mine, "--to", "adapter", "-o", "out").status == 1
    assert [str(path) for path in Path().rglob("*")] == ["out", "out/config.json"]


def test_the_record_of_the_run_is_left_alone(run: Run, mine: Path) -> None:
    before = read_record(mine)
    run("export", mine, "--to", "adapter", "-o", "out")
    assert read_record(mine) == before

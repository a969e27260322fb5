"""What is remembered of a run, and what may not change before it goes on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from aigc_cli.core.errors import AigcError, UsageError
from aigc_cli.core.finetune import DataChoice, Optimization, Pace, Proof, Tuning
from aigc_cli.core.finetune_image import Diffusion, ImageFinetuneRequest, ImageProof, ImageTuning, PictureChoice
from aigc_cli.core.training_request import TrainingRequest
from aigc_cli.store.run_record import (
    DataFile,
    changes,
    named_files,
    read_record,
    recorded_request,
    refuse_changes,
    version_changes,
    write_record,
)
from tests.store.records import REQUEST, record


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    request = dataclasses.replace(REQUEST, seed=7, tuning=Tuning(method="freeze", train_layers="last:2"))
    written = record(request=request, made=("adapter_model.safetensors",), revision="abc", blueprint={"vae": {"name": "画"}})
    write_record(tmp_path, written)
    assert read_record(tmp_path) == written
    assert json.loads((tmp_path / "run.json").read_text("utf-8"))["request"]["data"]["paths"] == ["数据.jsonl"]
    assert recorded_request(tmp_path) == request


def test_from_another_folder_the_recorded_paths_are_still_good(tmp_path: Path) -> None:
    there = tmp_path / "there"
    (there / "models" / "小模型").mkdir(parents=True)
    data = DataChoice(paths=("a.jsonl", "-", str(tmp_path / "b.jsonl")), validation=("v.csv",))
    request = dataclasses.replace(REQUEST, data=data, tuning=Tuning(continue_from="mine"))
    write_record(tmp_path, record(request=request, working_folder=str(there)))
    found = recorded_request(tmp_path)
    assert found.data.paths == (str(there / "a.jsonl"), "-", str(tmp_path / "b.jsonl"))
    assert found.data.validation == (str(there / "v.csv"),)
    assert found.tuning.continue_from == str(there / "mine")
    assert found.model == str(there / "models" / "小模型")
    write_record(tmp_path, record(request=dataclasses.replace(request, model="org/name"), working_folder=str(there)))
    assert recorded_request(tmp_path).model == "org/name"


PICTURES = ImageFinetuneRequest(model="画", data=PictureChoice(paths=("图片",)))


def test_a_run_on_pictures_is_remembered_as_one(tmp_path: Path) -> None:
    there = tmp_path / "there"
    request = dataclasses.replace(
        PICTURES, tuning=ImageTuning(method="full", from_scratch="new.toml"), proof=ImageProof(sample_prompts=("猫",))
    )
    write_record(tmp_path, written := record(request=request, working_folder=str(there)))
    assert read_record(tmp_path) == written
    found = recorded_request(tmp_path)
    assert isinstance(found, ImageFinetuneRequest)
    assert (found.data.paths, found.tuning.from_scratch) == ((str(there / "图片"),), str(there / "new.toml"))
    assert named_files(found) == [str(there / "图片"), "画", str(there / "new.toml")]


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (PICTURES, []),
        (dataclasses.replace(PICTURES, diffusion=Diffusion(average=0.999)), ["--average was not given, is 0.999"]),
        (dataclasses.replace(PICTURES, proof=ImageProof(sample_prompts=("猫",))), ["--sample-prompt was not given, is 猫"]),
        (REQUEST, ["--image was on, is off"]),
    ],
)
def test_a_change_of_a_run_on_pictures_is_told_alike(now: TrainingRequest, words: list[str]) -> None:
    assert changes(record(request=PICTURES), record(request=now)) == words


@pytest.mark.parametrize("text", ["", "{", "[]", '"text"', '{"format": 1}', "\udcff"])
def test_a_broken_record_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(AigcError, match=r"run.json is broken") as caught:
        read_record(tmp_path)
    assert "choose another -o" in caught.value.hint


@pytest.mark.parametrize("change", [{"status": 1, "request": None}, {"files": [{"name": "x"}]}, {"request": {"model": "m"}}, {"extra": 1}])
def test_a_record_of_another_shape_is_broken(tmp_path: Path, change: dict[str, Any]) -> None:
    (tmp_path / "run.json").write_text(json.dumps(record().to_json() | change))
    with pytest.raises(AigcError, match=r"run.json is broken"):
        read_record(tmp_path)


def test_a_newer_record_and_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no run in"):
        read_record(tmp_path)
    (tmp_path / "run.json").write_text('{"format": 2, "aigc": "9.0"}')
    with pytest.raises(AigcError, match=r"written by a newer aigc \(9.0\)"):
        read_record(tmp_path)


def test_nothing_has_changed() -> None:
    assert changes(record(), record(status="stopped", created="later", made=("x",), versions={})) == []


def with_request(**groups: Any) -> dict[str, Any]:
    return {"request": dataclasses.replace(REQUEST, **groups)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_request(optimization=Optimization(learning_rate=1e-4)), ["--learning-rate was not given, is 0.0001"]),
        (with_request(pace=Pace(epochs=4, max_steps=100)), ["--epochs was 3, is 4", "--max-steps was not given, is 100"]),
        (with_request(data=dataclasses.replace(REQUEST.data, packing=True)), ["--packing was off, is on"]),
        (with_request(seed=1), ["--seed was 0, is 1"]),
        (with_request(data=dataclasses.replace(REQUEST.data, mode="raw")), ["the mode (--raw, --instruct) was auto, is raw"]),
        (with_request(proof=Proof(metrics=("bleu", "chrf"))), ["--metric was not given, is bleu,chrf"]),
        (with_request(pace=Pace(keep=9, save_steps=5)), []),
        ({"device": "cuda:1"}, ["--device was cpu, is cuda"]),
        ({"dtype": "bfloat16"}, ["--dtype was float32, is bfloat16"]),
        ({"fingerprint": "ef" * 32}, ["the files of models/小模型 have changed"]),
        ({"fingerprint": "ef" * 32, "revision": "new"}, ["the revision of models/小模型 was None, is new"]),
        ({"fingerprint": "ef" * 32, **with_request(model="other")}, ["-m was models/小模型, is other"]),
        (with_request(model="/elsewhere/小模型"), []),
        (
            {"files": (DataFile("数据.jsonl", "ee" * 32, "train"),)},
            ["数据.jsonl has changed since (sha256 eeeeeeeeeeee, was abababababab)"],
        ),
        ({"files": (DataFile("moved.jsonl", "ab" * 32, "train"),)}, []),
        (
            {"files": (*record().files, DataFile("more.jsonl", "11" * 32, "train"), DataFile("v.jsonl", "22" * 32, "validation"))},
            ["more.jsonl was added to the train data", "v.jsonl was added to the validation data"],
        ),
        ({"files": ()}, ["数据.jsonl is no longer among the train data"]),
    ],
)
def test_a_change_is_told_in_the_words_of_the_command_line(change: dict[str, Any], words: list[str]) -> None:
    assert changes(record(), record(**change)) == words


def test_the_order_of_files_is_the_order_of_rows() -> None:
    two = (DataFile("a", "11" * 32, "train"), DataFile("b", "22" * 32, "train"))
    assert changes(record(files=two), record(files=two[::-1])) == ["the files are read in another order"]


def test_a_resume_with_changes_is_refused_with_all_of_them() -> None:
    refuse_changes(record(), record())
    with pytest.raises(UsageError) as caught:
        refuse_changes(record(), record(device="cuda", **with_request(seed=3)))
    assert caught.value.message.splitlines() == [
        "this is not the run that was begun:",
        "  --seed was 0, is 3",
        "  --device was cpu, is cuda",
    ]


def test_a_change_of_a_new_pipeline_is_told_by_its_table_and_field() -> None:
    before = record(blueprint={"unet": {"sample_size": 16}, "vae": {"path": "甲"}})
    after = record(blueprint={"unet": {"sample_size": 32}, "vae": {"path": "甲"}}, fingerprint="ef" * 32)
    assert changes(before, after) == ["[unet] sample_size was 16, is 32"]
    assert changes(before, dataclasses.replace(before, fingerprint="ef" * 32)) == ["the files of 甲 have changed"]
    assert changes(before, dataclasses.replace(after, fingerprint=before.fingerprint)) == []


def test_other_versions_are_told_apart() -> None:
    now = record(versions={"torch": "2.14.0", "peft": "0.21.0", "accelerate": "1.15"})
    assert version_changes(record(), now) == ["accelerate was missing, is 1.15", "torch was 2.13.0, is 2.14.0"]

"""What is too large for memory is refused by its files' headers, before a weight is read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from aigc_cli.backends.device import Placement
from aigc_cli.backends.train.image import loading
from aigc_cli.backends.train.image.blueprint import read_blueprint
from aigc_cli.backends.train.image.footprint import RUNTIME
from aigc_cli.backends.train.image.loading import Base
from aigc_cli.backends.train.image.stored_weights import DENOISER, stored_dtype, stored_weights
from aigc_cli.backends.train.image.too_large import Reading, least_case, refuse_too_large, weights_of
from aigc_cli.backends.train.image.trainer import ImageTrainer
from aigc_cli.core.engine import EngineOptions, ModelSource
from aigc_cli.core.errors import OutOfMemoryError
from tests.backends.image.tiny_pipelines import tiny_pipeline
from tests.backends.train.image.picture_runs import a_request, save_model
from tests.backends.train.image.tiny_blueprint import write_blueprint

CPU = Placement("cpu", "float32", "")
FULL = {"tuning": {"method": "full"}}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    return save_model(tmp_path_factory.mktemp("model"))


def counts(source: ModelSource) -> dict[str, int]:
    return {name: sum(weight.numel() for weight in part.values()) for name, part in stored_weights(source).items()}


def count(part: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in part.state_dict().values())


def room_for(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr("aigc_cli.backends.train.image.too_large.memory_there", lambda device: size)


def test_every_part_is_counted_without_reading_it(source: ModelSource) -> None:
    pipeline = tiny_pipeline("sd")
    parts = {"text_encoder": pipeline.text_encoder, "vae": pipeline.vae, DENOISER: pipeline.unet}
    assert counts(source) == {name: count(part) for name, part in parts.items()}
    assert all(weight.is_meta for part in stored_weights(source).values() for weight in part.values())


def test_of_two_precisions_the_one_that_is_loaded_counts(source: ModelSource, tmp_path: Path) -> None:
    assert source.path is not None
    folder = tmp_path / "both"
    shutil.copytree(source.path, folder)
    plain = folder / "unet" / "diffusion_pytorch_model.safetensors"
    halves = {name: weight.half() for name, weight in load_file(plain).items()}
    save_file(halves, plain.with_name("diffusion_pytorch_model.fp16.safetensors"))
    both = ModelSource(name="both", kind="diffusers", path=folder)
    assert stored_dtype(both) == "float32"
    assert counts(both) == counts(source)


def test_a_part_in_several_files_counts_whole(source: ModelSource, tmp_path: Path) -> None:
    assert source.path is not None
    folder = tmp_path / "shards"
    shutil.copytree(source.path, folder)
    whole = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights = sorted(load_file(whole).items())
    whole.unlink()
    names: dict[str, str] = {}
    for number, part in enumerate((weights[::2], weights[1::2]), 1):
        file = f"diffusion_pytorch_model-{number:05}-of-00002.safetensors"
        save_file(dict(part), folder / "unet" / file)
        names |= {name: file for name, _ in part}
    (folder / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps({"weight_map": names}), "utf-8")
    assert counts(ModelSource(name="shards", kind="diffusers", path=folder)) == counts(source)


def test_a_file_with_all_parts_and_one_with_the_denoiser_alone(source: ModelSource, tmp_path: Path) -> None:
    weight = torch.zeros(4, 5)
    prefixes = ("model.diffusion_model.a", "first_stage_model.a", "cond_stage_model.a", "model_ema.a")
    save_file({name: weight.clone() for name in prefixes}, tmp_path / "all.safetensors")
    save_file({"a": weight}, tmp_path / "alone.safetensors")
    whole = ModelSource(name="all", kind="checkpoint", path=tmp_path / "all.safetensors", base=source.path)
    alone = ModelSource(name="alone", kind="checkpoint", path=tmp_path / "alone.safetensors", base=source.path)
    assert counts(whole) == {DENOISER: 20, "vae": 20, "text_encoder": 20}
    assert counts(alone) == {**counts(source), DENOISER: 20}


@pytest.mark.parametrize("groups", [{}, FULL], ids=["lora", "full"])
def test_a_model_that_cannot_even_be_read_is_refused_when_the_trainer_opens(
    source: ModelSource, monkeypatch: pytest.MonkeyPatch, groups: dict[str, Any]
) -> None:
    def reads(*arguments: object) -> None:
        raise AssertionError("weights are read")

    monkeypatch.setattr(loading, "read", reads)
    room_for(monkeypatch, RUNTIME + 2**10)
    with pytest.raises(OutOfMemoryError, match=r"reading the model would take about .* and cpu has room for") as raised:
        ImageTrainer(source, EngineOptions(device="cpu", dtype="float32"), a_request(**groups))
    assert "unet" not in raised.value.message
    assert "denoiser " in raised.value.message
    assert "choose a smaller model" in raised.value.hint


def test_what_can_be_read_but_not_trained_is_refused_too(source: ModelSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """AdamW wants the weights four times: themselves, their gradients, and two moments."""
    base, request = Base(source, CPU, None, "float32"), a_request(**FULL)
    weights = weights_of(base)
    least = least_case(base, request, weights).total
    assert least == RUNTIME + 4 * 4 * counts(source)[DENOISER]
    room_for(monkeypatch, least)
    refuse_too_large(base, request)
    room_for(monkeypatch, least - 1)
    with pytest.raises(OutOfMemoryError, match="training would take at least") as raised:
        refuse_too_large(base, request)
    assert "--method lora" in raised.value.hint
    refuse_too_large(base, a_request())


def test_narrower_weights_are_advised_where_they_help(source: ModelSource, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = Placement("cpu", "bfloat16", "")
    monkeypatch.setattr("aigc_cli.backends.train.image.too_large.choose", lambda device, dtype: narrow)
    numbers = {"denoiser": 2**30}
    lora, full = (Reading(numbers, Base(source, CPU, None, "float32"), is_adapter=is_adapter) for is_adapter in (True, False))
    assert lora.advice(RUNTIME + 2**31) == ("--dtype bfloat16 takes 2.6 GiB",)
    assert full.advice(RUNTIME + 2**31) == ("that is still too much: choose a smaller model",)


def test_a_new_pipeline_is_refused_before_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_blueprint(tmp_path)
    outline = read_blueprint(path).outline()
    weights = weights_of(Base(ModelSource(name=str(path), kind="diffusers"), CPU, read_blueprint(path), "float32"))
    assert {name: sum(weight.numel() for weight in part.values()) for name, part in weights.items()} == {
        name: sum(weight.numel() for weight in part.parameters())
        for name, part in (("text_encoder", outline.text_encoder), ("vae", outline.vae), (DENOISER, outline.unet))
    }
    request = a_request(tuning={"method": "full", "from_scratch": str(path)})
    room_for(monkeypatch, RUNTIME)
    with pytest.raises(OutOfMemoryError, match="reading the model would take about"):
        ImageTrainer(ModelSource(name=str(path), kind="diffusers"), EngineOptions(device="cpu", dtype="float32"), request)

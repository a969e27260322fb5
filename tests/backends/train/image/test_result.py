"""A result is read by diffusers itself, and draws what the trained model in memory drew."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from aigc_cli.backends.image.adapters import load_adapters
from aigc_cli.backends.image.facts import call_parameters
from aigc_cli.backends.train.image.families import open_family
from aigc_cli.backends.train.image.methods import prepare
from aigc_cli.backends.train.image.result import write_result
from aigc_cli.backends.train.master_weights import MasterWeights
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import ModelError
from aigc_cli.core.finetune_image import ImageFinetuneRequest, ImageTuning, PictureChoice
from tests.backends.image.tiny_pipelines import tiny_pipeline
from tests.backends.train.image.learning import shake

LORA, FULL = ImageTuning(lora_rank=4, lora_alpha=6.0), ImageTuning(method="full")
FILE = "pytorch_lora_weights.safetensors"


def drawn(pipe: Any) -> Tensor:
    """Latents of a small picture, after two steps."""
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    pipe.set_progress_bar_config(disable=True)
    known = {"use_resolution_binning": False, "clean_caption": False, "complex_human_instruction": None}
    options: dict[str, Any] = {name: value for name, value in known.items() if name in call_parameters(pipe)}
    options |= {"num_inference_steps": 2, "guidance_scale": 2.0, "generator": torch.Generator().manual_seed(0)}
    with torch.no_grad():
        latents: Tensor = pipe("a 狐狸", height=64, width=64, output_type="latent", **options).images
    return latents


def finish(pipe: Any, folder: Path, tuning: ImageTuning, base: Path, *, narrow: torch.dtype | None = None, dtype: str = "float32") -> None:
    """Moves every trained weight of the pipeline, and writes the result."""
    family = open_family(pipe)
    trainable = prepare(family, tuning, seed=0)
    masters = MasterWeights(trainable.parameters, None if tuning.is_adapter else narrow)
    shake(masters.weights)
    masters.write_back()
    request = ImageFinetuneRequest(model=str(base), data=PictureChoice(paths=("x",)), tuning=tuning)
    folder.mkdir(exist_ok=True)
    source = ModelSource(name=str(base), kind="diffusers", path=base)
    write_result(folder, family, trainable, masters, source, dtype=dtype, request=request)


EVERYWHERE = replace(LORA, target_modules="all-linear", train_text_encoder=True)
CASES = {
    "sd": ("sd", LORA),
    "sd, its encoder too": ("sd", replace(LORA, train_text_encoder=True)),
    "sd, every matrix": ("sd", EVERYWHERE),
    "sd, by name": ("sd", replace(LORA, target_modules="to_q,conv_in")),
    "sdxl, both encoders too": ("sdxl", replace(LORA, train_text_encoder=True, lora_alpha=None)),
    "sd3": ("sd3", LORA),
    "sd3, every matrix": ("sd3", EVERYWHERE),
    "flux": ("flux", LORA),
    "flux, every matrix": ("flux", EVERYWHERE),
    "sana": ("sana", LORA),
}


@pytest.mark.parametrize(("name", "tuning"), CASES.values(), ids=CASES)
def test_diffusers_and_aigc_read_an_adapter(tmp_path: Path, name: str, tuning: ImageTuning) -> None:
    trained_pipe = tiny_pipeline(name)
    finish(trained_pipe, tmp_path, tuning, Path("base"))
    expected, base = drawn(trained_pipe), drawn(tiny_pipeline(name))
    plain, ours = tiny_pipeline(name), tiny_pipeline(name)
    plain.load_lora_weights(tmp_path)
    load_adapters(ours, [(tmp_path, 1.0)])
    for read in (plain, ours):
        torch.testing.assert_close(drawn(read), expected, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(base, expected, rtol=1e-2, atol=1e-2)
    assert json.loads((tmp_path / "aigc.json").read_text()) == {"kind": "image", "base": "base", "revision": None}


def test_its_scale_is_right_without_its_header(tmp_path: Path) -> None:
    """As for programs that read nothing but the tensors."""
    pipe = tiny_pipeline("sd")
    finish(pipe, tmp_path, LORA, Path("base"))
    read = tiny_pipeline("sd")
    read.load_lora_weights(load_file(tmp_path / FILE))
    torch.testing.assert_close(drawn(read), drawn(pipe), rtol=1e-4, atol=1e-4)


def test_an_adapter_trained_in_bfloat16_is_a_float32_file_with_clips_usual_names(tmp_path: Path) -> None:
    pipe = tiny_pipeline("sd").to(torch.bfloat16)
    finish(pipe, tmp_path, replace(LORA, train_text_encoder=True), Path("base"))
    with safe_open(tmp_path / FILE, "pt") as stored:
        names = list(stored.keys())
        assert {stored.get_tensor(name).dtype for name in names} == {torch.float32}
        header = json.loads(stored.metadata()["lora_adapter_metadata"])
    assert (header["unet.r"], header["unet.lora_alpha"]) == (4, 4)
    assert "text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_A.weight" in names
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["aigc.json", FILE]


def saved_base(folder: Path, name: str, dtype: torch.dtype = torch.float32) -> Path:
    tiny_pipeline(name).to(dtype).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", ["sd", "sdxl", "sd3", "flux", "pixart", "sana"])
def test_diffusers_reads_a_whole_pipeline(tmp_path: Path, name: str) -> None:
    base = saved_base(tmp_path / "base", name)
    pipe = diffusers.DiffusionPipeline.from_pretrained(base)
    finish(pipe, tmp_path / "out", FULL, base)
    read = diffusers.DiffusionPipeline.from_pretrained(tmp_path / "out")
    assert type(read) is type(pipe)
    assert type(read.scheduler) is type(pipe.scheduler)
    torch.testing.assert_close(drawn(read), drawn(pipe), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(drawn(diffusers.DiffusionPipeline.from_pretrained(base)), drawn(pipe), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_all_that_was_not_trained_keeps_every_digit(tmp_path: Path, dtype: str) -> None:
    """Though it was computed with in bfloat16; and what was trained is as fine as the file allows."""
    base = saved_base(tmp_path / "base", "sd", getattr(torch, dtype))
    pipe = diffusers.DiffusionPipeline.from_pretrained(base, dtype=torch.bfloat16)
    finish(pipe, tmp_path / "out", FULL, base, narrow=torch.bfloat16, dtype=dtype)
    for part, file in (("vae", "diffusion_pytorch_model"), ("text_encoder", "model")):
        own, other = (load_file(folder / part / f"{file}.safetensors") for folder in (base, tmp_path / "out"))
        assert own.keys() == other.keys()
        assert all(torch.equal(weight, other[key]) for key, weight in own.items())
        assert {weight.dtype for weight in other.values()} == {getattr(torch, dtype)}
    unet = load_file(tmp_path / "out" / "unet" / "diffusion_pytorch_model.safetensors")
    assert {weight.dtype for weight in unet.values()} == {getattr(torch, dtype)}
    assert any(not torch.equal(weight, weight.bfloat16().to(weight.dtype)) for weight in unet.values())


def test_text_encoders_go_along(tmp_path: Path) -> None:
    base = saved_base(tmp_path / "base", "sd")
    pipe = diffusers.DiffusionPipeline.from_pretrained(base)
    finish(pipe, tmp_path / "out", replace(FULL, train_text_encoder=True), base)
    torch.testing.assert_close(drawn(diffusers.DiffusionPipeline.from_pretrained(tmp_path / "out")), drawn(pipe), rtol=1e-4, atol=1e-4)


def test_a_new_pipeline_needs_no_base(tmp_path: Path) -> None:
    pipe = tiny_pipeline("sd")
    pipe.unet.to(memory_format=torch.channels_last)
    tuning = replace(FULL, from_scratch="new.toml", train_text_encoder=True)
    finish(pipe, tmp_path / "out", tuning, Path("new.toml"), narrow=torch.bfloat16, dtype="float16")
    read = diffusers.DiffusionPipeline.from_pretrained(tmp_path / "out", dtype=torch.float16)
    assert read.unet.dtype == torch.float16
    assert pipe.unet.dtype == torch.bfloat16
    torch.testing.assert_close(drawn(read.to(torch.float32)), drawn(pipe.to(torch.float32)), rtol=0.1, atol=0.1)


def test_no_file_names_a_folder_of_this_machine(tmp_path: Path) -> None:
    base = saved_base(tmp_path / "base", "sd")
    finish(diffusers.DiffusionPipeline.from_pretrained(base), tmp_path / "out", FULL, base)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.name != "aigc.json"]
    assert files
    assert not [path for path in files if str(tmp_path).encode() in path.read_bytes()]


def test_a_base_that_is_gone_is_said(tmp_path: Path) -> None:
    base = saved_base(tmp_path / "base", "sd")
    pipe = diffusers.DiffusionPipeline.from_pretrained(base)
    base.rename(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="base cannot be read any more") as caught:
        finish(pipe, tmp_path / "out", FULL, base)
    assert "put it back" in caught.value.hint

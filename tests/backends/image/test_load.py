"""Folders, single files and GGUF files become pipelines; what is none is refused in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from huggingface_hub import constants
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPImageProcessorPil

from aigc_cli.backends import open_image_engine
from aigc_cli.backends.device import Placement
from aigc_cli.backends.image.load import load_pipeline
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import ModelError
from aigc_cli.core.events import Caution
from aigc_cli.core.image import Drawn, ImageEngineOptions, ImageRequest
from aigc_cli.models.resolve_image import resolve_image
from tests.backends.image.original_names import original_checkpoint
from tests.backends.image.tiny_pipelines import kl_vae, stable_diffusion, tiny_pipeline, unet

CPU = Placement("cpu", "float32", "")
FOUR_LEVELS: dict[str, Any] = {
    "block_out_channels": (8, 8, 8, 16),
    "layers_per_block": 2,
    "down_block_types": (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D"),
    "up_block_types": ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3),
    "attention_head_dim": 2,
}


def resolved(name: Path) -> ModelSource:
    stream = resolve_image(str(name))
    while True:
        try:
            next(stream)
        except StopIteration as end:
            source: ModelSource = end.value
            return source


def pixels(source: ModelSource, dtype: str = "float32") -> np.ndarray[Any, Any]:
    engine = open_image_engine(source, ImageEngineOptions(device="cpu", dtype=dtype))
    asked, _ = engine.complete(ImageRequest(prompt="a fox", seed=1, width=64, height=64, steps=2))
    drawn = next(event for event in engine.stream([asked]) if isinstance(event, Drawn))
    engine.close()
    return np.frombuffer(drawn.pixels.data, np.uint8).astype(int)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two pipelines as diffusers saves them: one in Stable Diffusion 1.5's shape, and Qwen-Image."""
    root = tmp_path_factory.mktemp("模型")
    torch.manual_seed(0)
    pipe = stable_diffusion(**FOUR_LEVELS)
    pipe.save_pretrained(root / "sd")
    save_file(original_checkpoint(pipe), root / "sd-file.safetensors")
    tiny_pipeline("qwen").save_pretrained(root / "qwen")
    return {"sd": root / "sd", "file": root / "sd-file.safetensors", "qwen": root / "qwen"}


def test_a_folder_is_loaded_in_the_format_asked_for(folders: dict[str, Path]) -> None:
    source = resolved(folders["sd"])
    assert (source.kind, source.path) == ("diffusers", folders["sd"])
    pipe = load_pipeline(source, Placement("cpu", "bfloat16", "")).pipe
    assert pipe.unet.dtype == pipe.vae.dtype == pipe.text_encoder.dtype == torch.bfloat16
    assert pipe.vae.decoder.conv_in.weight.is_contiguous(memory_format=torch.channels_last)


def test_sixteen_bits_draw_nearly_the_same_picture(folders: dict[str, Path]) -> None:
    source = resolved(folders["sd"])
    assert np.abs(pixels(source) - pixels(source, "bfloat16")).mean() < 6


def test_a_single_file_draws_what_its_folder_draws(folders: dict[str, Path]) -> None:
    beside = folders["sd"] / "original.safetensors"
    beside.write_bytes(folders["file"].read_bytes())
    source = resolved(beside)
    assert (source.kind, source.base) == ("checkpoint", folders["sd"])
    assert np.abs(pixels(source) - pixels(resolved(folders["sd"]))).max() <= 1


def test_a_single_file_without_configs_says_where_they_come_from(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"a file of Stable Diffusion 1\.5 needs the configs") as caught:
        resolved(folders["file"])
    assert "HF_HUB_OFFLINE" in caught.value.hint


def test_a_quantised_denoiser_takes_the_rest_from_the_folder_it_lies_in(folders: dict[str, Path]) -> None:
    path = folders["qwen"] / "qwen-image-Q8_0.gguf"
    writer = gguf.GGUFWriter(path, "qwen_image")
    for name, tensor in tiny_pipeline("qwen").transformer.state_dict().items():
        fits = tensor.dim() == 2 and tensor.shape[1] % 32 == 0
        kind = gguf.GGMLQuantizationType.Q8_0 if fits else gguf.GGMLQuantizationType.F32
        data = gguf.quantize(tensor.numpy(), kind)
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    source = resolved(path)
    assert (source.kind, source.base) == ("image-gguf", folders["qwen"])
    assert np.abs(pixels(source) - pixels(resolved(folders["qwen"]))).mean() < 4


def test_a_pipeline_that_draws_nothing_from_text_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "AudioLDM2Pipeline", "vae": ["diffusers", "AutoencoderKL"]}))
    kl_vae().save_pretrained(tmp_path / "vae")
    with pytest.raises(ModelError, match="AudioLDM2Pipeline, which draws no pictures from text"):
        load_pipeline(resolved(tmp_path), CPU)


def test_weights_that_do_not_fit_their_config_are_a_model_error(folders: dict[str, Path], tmp_path: Path) -> None:
    torch.manual_seed(0)
    stable_diffusion().save_pretrained(tmp_path)
    unet(32, block_out_channels=(8, 8)).save_pretrained(tmp_path / "other")
    (tmp_path / "other/diffusion_pytorch_model.safetensors").replace(tmp_path / "unet/diffusion_pytorch_model.safetensors")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_pipeline(resolved(tmp_path), CPU)


def test_a_safety_checker_is_kept_and_said(tmp_path: Path) -> None:
    torch.manual_seed(0)
    pipe = stable_diffusion()
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 30,
        "patch_size": 15,
    }
    checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=16))
    size = {"height": 30, "width": 30}
    pipe.register_modules(safety_checker=checker, feature_extractor=CLIPImageProcessorPil(size={"shortest_edge": 30}, crop_size=size))
    pipe.save_pretrained(tmp_path)
    engine = open_image_engine(resolved(tmp_path), ImageEngineOptions(device="cpu", dtype="float32"))
    asked, _ = engine.complete(ImageRequest(prompt="x", seed=1, steps=1))
    said = [event.message for event in engine.stream([asked]) if isinstance(event, Caution)]
    assert "has a safety checker" in said[0]

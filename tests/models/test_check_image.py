"""What is no image model is told apart before anything slow happens."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import ExitStatus, ModelError
from aigc_cli.models.check import check_model
from aigc_cli.models.check_image import check_image_model
from aigc_cli.models.checkpoints import identify_checkpoint
from aigc_cli.models.hub_cache import repo_folder
from aigc_cli.models.resolve_image import resolve_image
from tests.model_files import LLAMA_GGUF, gguf_bytes, model_files, safetensors_bytes, write_files

SD1 = {"model.diffusion_model.output_blocks.11.0.skip_connection.weight": (1,), "model.diffusion_model.input_blocks.0.0.weight": (8, 4)}
WHOLE = {"first_stage_model.w": (1,), "cond_stage_model.w": (1,)}
FLUX = {"double_blocks.0.img_attn.norm.key_norm.scale": (1,), "img_in.weight": (8, 64)}
COMMIT = "0123456789" * 4


def safetensors_of(shapes: dict[str, tuple[int, ...]]) -> bytes:
    """Tensors of these shapes that share their few bytes: only the header is looked at."""
    tensors = {name: {"dtype": "F32", "shape": list(shape), "data_offsets": [0, 4]} for name, shape in shapes.items()}
    header = json.dumps(tensors).encode()
    return struct.pack("<Q", len(header)) + header + b"\0" * 4


def pipeline_files(**parts: Any) -> dict[str, bytes]:
    """The files of a pipeline's folder; None takes a part out of the index."""
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": "0.42.0",
        "scheduler": ["diffusers", "PNDMScheduler"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "safety_checker": [None, None],
    } | parts
    return {
        "model_index.json": json.dumps({name: value for name, value in index.items() if value is not None}).encode(),
        "scheduler/scheduler_config.json": b"{}",
        "tokenizer/vocab.json": b"{}",
        "unet/config.json": b"{}",
        "unet/diffusion_pytorch_model.safetensors": safetensors_bytes(),
        "text_encoder/model.safetensors": safetensors_bytes(),
    }


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        check_image_model(path)
    assert caught.value.status == ExitStatus.MODEL
    return f"{caught.value.message}: {caught.value.hint}"


def resolved(name: str | Path) -> ModelSource:
    stream = resolve_image(str(name))
    while True:
        try:
            next(stream)
        except StopIteration as end:
            source: ModelSource = end.value
            return source


def test_a_pipelines_folder_stands_for_itself(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "模型", pipeline_files())
    assert check_image_model(folder) == ("diffusers", folder)
    assert resolved(folder) == ModelSource(name=str(folder), kind="diffusers", path=folder)


def test_what_a_folder_lacks_is_named(tmp_path: Path) -> None:
    files = pipeline_files()
    del files["unet/diffusion_pytorch_model.safetensors"]
    assert "unet has no weights" in refusal(write_files(tmp_path / "a", files))
    assert "only as a pickle" in refusal(write_files(tmp_path / "b", files | {"unet/diffusion_pytorch_model.bin": b"PK\x03\x04"}))
    variant = {"unet/diffusion_pytorch_model.fp16.safetensors": safetensors_bytes()}
    assert "rename it" in refusal(write_files(tmp_path / "c", files | variant))
    assert "lacks its folder vae (AutoencoderKL)" in refusal(
        write_files(tmp_path / "d", pipeline_files(vae=["diffusers", "AutoencoderKL"]))
    )
    cut = pipeline_files() | {"unet/diffusion_pytorch_model.safetensors": safetensors_bytes()[:-1]}
    assert "is damaged" in refusal(write_files(tmp_path / "e", cut))


def test_shards_are_all_there_or_counted(tmp_path: Path) -> None:
    files = pipeline_files()
    del files["unet/diffusion_pytorch_model.safetensors"]
    index = {"weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors"}}
    files |= {
        "unet/diffusion_pytorch_model.safetensors.index.json": json.dumps(index).encode(),
        "unet/part-1.safetensors": safetensors_bytes(),
    }
    assert "lacks 1 of 2 weight files: part-2.safetensors" in refusal(write_files(tmp_path, files))
    write_files(tmp_path, {"unet/part-2.safetensors": safetensors_bytes()})
    assert check_image_model(tmp_path)[0] == "diffusers"


def test_code_that_comes_with_a_model_is_never_run(tmp_path: Path) -> None:
    own_part = pipeline_files(unet=["my_unet", "MyUNet"]) | {"unet/my_unet.py": b"print('here')"}
    assert "needs Python code of its own" in refusal(write_files(tmp_path / "a", own_part))
    own_class = pipeline_files(_class_name=["pipeline", "MyPipeline"])
    assert "needs Python code of its own" in refusal(write_files(tmp_path / "b", own_class))


def test_a_language_model_draws_no_pictures(tmp_path: Path, data: Path) -> None:
    folder = write_files(tmp_path / "m", model_files())
    assert "it holds a language model: aigc complete -m" in refusal(folder)
    assert "holds a language model, not an image model" in refusal(folder / "model.safetensors")
    (tmp_path / "x.gguf").write_bytes(gguf_bytes(LLAMA_GGUF, 100))
    assert "holds a language model, not an image model" in refusal(tmp_path / "x.gguf")
    assert "holds a language model, not an image model" in refusal(data / "models/gguf/stories260K-q8_0.gguf")
    for name in ("builtin:text", "openai:gpt", "qwen3:0.6b"):
        with pytest.raises(ModelError, match="draws no pictures"):
            resolved(name)


def test_an_image_model_writes_no_text(tmp_path: Path) -> None:
    (tmp_path / "sd.safetensors").write_bytes(safetensors_of(SD1 | WHOLE))
    with pytest.raises(ModelError, match=r"holds an image model \(Stable Diffusion 1.5\), not a language model"):
        check_model(tmp_path / "sd.safetensors")
    (tmp_path / "flux.gguf").write_bytes(gguf_of("flux", FLUX))
    with pytest.raises(ModelError, match=r"holds an image model \(FLUX.1 schnell\), not a language model"):
        check_model(tmp_path / "flux.gguf")


def gguf_of(architecture: str, shapes: dict[str, tuple[int, ...]]) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), 1) + text("general.architecture") + struct.pack("<I", 8) + text(architecture)
    for name, shape in shapes.items():
        head += text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape)) + struct.pack("<IQ", 0, 0)
    return head + b"\0" * 4096


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


@pytest.mark.parametrize(
    ("shapes", "family", "is_whole"),
    [
        (SD1 | WHOLE, "Stable Diffusion 1.5", True),
        (SD1 | {"model.diffusion_model.input_blocks.0.0.weight": (8, 9)} | WHOLE, "Stable Diffusion 1.5 inpainting", True),
        (FLUX, "FLUX.1 schnell", False),
        (FLUX | {"guidance_in.in_layer.bias": (1,)}, "FLUX.1 dev", False),
        (SD1 | {"conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias": (1,)} | WHOLE, "SDXL", True),
        ({"joint_blocks.37.x_block.mlp.fc1.weight": (1,)}, "Stable Diffusion 3.5 large", False),
    ],
)
def test_a_file_is_known_by_its_tensors(shapes: dict[str, tuple[int, ...]], family: str, is_whole: bool) -> None:
    checkpoint = identify_checkpoint(shapes)
    assert checkpoint
    assert (checkpoint.family, checkpoint.is_whole) == (family, is_whole)


def test_real_adapters_and_strange_files_are_told_apart(data: Path, tmp_path: Path) -> None:
    lora = data / "models/lora-sd15-weapons/pytorch_lora_weights.safetensors"
    assert "is an adapter, which goes on top of a model: use it with its model: -m MODEL --adapter" in refusal(lora)
    (tmp_path / "x.safetensors").write_bytes(safetensors_bytes())
    assert "no image model that is known by its tensors" in refusal(tmp_path / "x.safetensors")
    (tmp_path / "x.ckpt").write_bytes(b"PK\x03\x04")
    assert "a pickle can run code" in refusal(tmp_path / "x.ckpt")


def test_a_denoiser_alone_needs_the_rest_of_its_pipeline(tmp_path: Path) -> None:
    path = tmp_path / "flux.safetensors"
    path.write_bytes(safetensors_of(FLUX))
    with pytest.raises(ModelError, match=r"only the denoiser of FLUX.1 schnell: it has no text encoder and no VAE") as caught:
        resolved(path)
    assert "aigc models pull black-forest-labs/FLUX.1-schnell" in caught.value.hint
    write_files(tmp_path, pipeline_files())
    assert resolved(path).base == tmp_path


def test_a_downloaded_pipeline_is_found_without_the_network(own_home: Path) -> None:
    folder = repo_folder("org/name")
    write_files(folder / "snapshots" / COMMIT, pipeline_files())
    write_files(folder / "refs", {"main": COMMIT.encode()})
    source = resolved("org/name")
    assert (source.kind, source.revision, source.repo) == ("diffusers", COMMIT, "org/name")


def test_a_refusal_imports_nothing_heavy(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "m", model_files())
    code = f"""
import sys
from aigc_cli.core.errors import ModelError
from aigc_cli.models.resolve_image import resolve_image
try:
    next(resolve_image({str(folder)!r}))
except ModelError:
    pass
heavy = [name for name in ("torch", "diffusers", "transformers", "PIL") if name in sys.modules]
assert not heavy, heavy
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr

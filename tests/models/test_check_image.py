"""What is no image model is told apart before anything slow happens."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import ExitStatus, ModelError
from aigc_cli.models.check import check_model
from aigc_cli.models.check_image import check_image_model
from aigc_cli.models.checkpoints import identify_checkpoint
from aigc_cli.models.hub_cache import repo_folder
from aigc_cli.models.resolve_image import resolve_image
from tests.hub_server import HubServer
from tests.model_files import LLAMA_GGUF, gguf_bytes, model_files, safetensors_bytes, write_files
from tests.models.image_files import FLUX, SD1, WHOLE, gguf_of, pipeline_files, safetensors_of

COMMIT = "0123456789" * 4


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


def test_a_part_is_told_with_its_whole(tmp_path: Path, data: Path) -> None:
    folder = write_files(tmp_path / "模型", pipeline_files() | {"unet/config.json": b'{"_class_name": "UNet2DConditionModel"}'})
    assert f"name the whole of it: aigc image -m {folder}" in refusal(folder / "unet")
    assert "it holds an adapter, which goes on top of a model" in refusal(data / "models/lora-sd15-weapons")


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


def test_a_checkpoint_of_the_hub_gets_its_familys_configs(hub: HubServer) -> None:
    content = safetensors_of(SD1 | WHOLE)
    repository = hub.add("org/merges", {"图.safetensors": b"", "mix-v2.safetensors": content, "mix-v1.safetensors": b"other"})
    family = hub.add("stable-diffusion-v1-5/stable-diffusion-v1-5", pipeline_files())
    source = resolved("org/merges:mix-v2.safetensors")
    assert (source.kind, source.repo, source.revision) == ("checkpoint", "org/merges", repository.commit)
    assert source.path
    assert source.path.read_bytes() == content
    assert source.base
    assert source.base.name == family.commit
    assert sorted(path.suffix for path in source.base.rglob("*") if path.is_file()) == [".json"] * 5
    hub.received.clear()
    assert resolved("org/merges:mix-v2.safetensors") == source
    assert hub.received == []


def test_a_language_model_of_the_hub_is_not_downloaded_to_draw(hub: HubServer) -> None:
    hub.add("org/chat", model_files())
    with pytest.raises(ModelError, match=r"org/chat holds no image model: it has no model_index\.json"):
        resolved("org/chat")
    assert hub.downloads() == []

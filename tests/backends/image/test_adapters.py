"""LoRA files of every form change the model alike; those of another family are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import save_file

from aigc_cli.backends.device import Placement
from aigc_cli.backends.image.adapters import load_adapters
from aigc_cli.backends.image.load import load_pipeline
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import ModelError
from aigc_cli.core.image import ImageEngineOptions
from tests.backends.image.tiny_pipelines import tiny_pipeline

Tensors = dict[str, torch.Tensor]
LAYERS = [f"{block}.attentions.0.transformer_blocks.0.attn2.to_{name}" for block in ("down_blocks.1", "up_blocks.0") for name in "qk"]
RANK, ALPHA = 4, 8.0


def matrices(seed: int = 0) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """For layers of the tiny UNet, 32 wide."""
    generator = torch.Generator().manual_seed(seed)
    return {layer: (torch.randn(RANK, 32, generator=generator), torch.randn(32, RANK, generator=generator) / 4) for layer in LAYERS}


def as_diffusers(path: Path, seed: int = 0, prefix: str = "unet") -> Path:
    tensors = {}
    for layer, (down, up) in matrices(seed).items():
        tensors |= {f"{prefix}.{layer}.lora_A.weight": down, f"{prefix}.{layer}.lora_B.weight": up * ALPHA / RANK}
    save_file(tensors, path / "lora.safetensors")
    return path / "lora.safetensors"


def as_kohya(path: Path) -> Path:
    tensors: Tensors = {}
    for layer, (down, up) in matrices().items():
        name = f"lora_unet_{layer.replace('.', '_')}"
        tensors |= {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up, f"{name}.alpha": torch.tensor(ALPHA)}
    save_file(tensors, path / "狐狸.safetensors")
    return path / "狐狸.safetensors"


def as_peft(path: Path) -> Path:
    tensors = {}
    for layer, (down, up) in matrices().items():
        tensors |= {f"base_model.model.{layer}.lora_A.weight": down, f"base_model.model.{layer}.lora_B.weight": up}
    save_file(tensors, path / "adapter_model.safetensors")
    (path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA}))
    return path


def as_attention_processors(path: Path) -> Path:
    """As diffusers saved them first; without a scale."""
    tensors = {}
    for layer, (down, up) in matrices().items():
        block, _, name = layer.rpartition(".")
        tensors |= {f"{block}.processor.{name}_lora.down.weight": down, f"{block}.processor.{name}_lora.up.weight": up * ALPHA / RANK}
    save_file(tensors, path / "pytorch_lora_weights.safetensors")
    return path


def as_pickle(path: Path) -> Path:
    tensors = {f"{layer}.lora_{end}.weight": value for layer, pair in matrices().items() for end, value in zip("AB", pair, strict=True)}
    torch.save({f"unet.{name}": value * (ALPHA / RANK if "lora_B" in name else 1) for name, value in tensors.items()}, path / "lora.bin")
    return path / "lora.bin"


@torch.no_grad()
def prediction(pipe: Any) -> torch.Tensor:
    """What the UNet makes of the same input."""
    generator = torch.Generator().manual_seed(1)
    latents, text = (torch.randn(shape, generator=generator).to(pipe.unet.dtype) for shape in ((1, 4, 8, 8), (1, 77, 32)))
    found: torch.Tensor = pipe.unet(latents, 500, text).sample
    return found


def merged() -> torch.Tensor:
    """With the change computed by hand."""
    pipe = tiny_pipeline("sd")
    for layer, (down, up) in matrices().items():
        pipe.unet.get_submodule(layer).weight.data += ALPHA / RANK * up @ down
    return prediction(pipe)


@pytest.mark.parametrize("write", [as_diffusers, as_kohya, as_peft, as_attention_processors, as_pickle])
def test_every_form_of_a_lora_does_the_same(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    pipe = tiny_pipeline("sd")
    load_adapters(pipe, [(write(tmp_path), 1.0)])
    torch.testing.assert_close(prediction(pipe), merged(), rtol=1e-4, atol=1e-5)


def test_a_share_of_nothing_is_no_adapter(tmp_path: Path) -> None:
    plain, adapted = tiny_pipeline("sd"), tiny_pipeline("sd")
    load_adapters(adapted, [(as_diffusers(tmp_path), 0.0)])
    assert torch.equal(prediction(plain), prediction(adapted))


def test_several_add_up(tmp_path: Path) -> None:
    pipe, by_hand = tiny_pipeline("sd"), tiny_pipeline("sd")
    (tmp_path / "other").mkdir()
    load_adapters(pipe, [(as_diffusers(tmp_path), 0.5), (as_diffusers(tmp_path / "other", seed=1), -0.25)])
    for seed, share in ((0, 0.5), (1, -0.25)):
        for layer, (down, up) in matrices(seed).items():
            by_hand.unet.get_submodule(layer).weight.data += share * ALPHA / RANK * up @ down
    torch.testing.assert_close(prediction(pipe), prediction(by_hand), rtol=1e-4, atol=1e-5)


def test_the_adapter_counts_in_the_numbers_of_its_model(tmp_path: Path) -> None:
    pipe = tiny_pipeline("sd").to(torch.bfloat16)
    load_adapters(pipe, [(as_diffusers(tmp_path), 1.0)])
    assert {parameter.dtype for parameter in pipe.unet.parameters()} == {torch.bfloat16}
    torch.testing.assert_close(prediction(pipe).float(), merged(), rtol=0.1, atol=0.1)


@pytest.mark.parametrize("family", ["sdxl", "flux", "sd3", "qwen"])
def test_one_of_another_family_is_refused(tmp_path: Path, family: str, capfd: pytest.CaptureFixture[str]) -> None:
    for path in (as_diffusers(tmp_path), as_kohya(tmp_path)):
        with pytest.raises(ModelError, match="does not fit this") as caught:
            load_adapters(tiny_pipeline(family), [(path, 1.0)])
        assert "\n" not in caught.value.message
    assert "unsuccessful" not in capfd.readouterr().err


def test_one_of_another_width_names_the_layer(tmp_path: Path) -> None:
    save_file(
        {f"unet.{LAYERS[0]}.lora_A.weight": torch.ones(4, 64), f"unet.{LAYERS[0]}.lora_B.weight": torch.ones(32, 4)},
        tmp_path / "a.safetensors",
    )
    with pytest.raises(ModelError, match=r"attn2\.to_q is 4 x 64 in the file and 4 x 32 in the model"):
        load_adapters(tiny_pipeline("sd"), [(tmp_path, 1.0)])


def test_one_that_fits_in_part_is_refused(tmp_path: Path) -> None:
    tensors = {}
    for layer in (LAYERS[0], "down_blocks.7.attentions.0.transformer_blocks.0.attn1.to_q"):
        tensors |= {f"unet.{layer}.lora_A.weight": torch.ones(4, 32), f"unet.{layer}.lora_B.weight": torch.ones(32, 4)}
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match="1 of its 2 layers have no counterpart"):
        load_adapters(tiny_pipeline("sd"), [(tmp_path / "a.safetensors", 1.0)])


def test_what_is_no_lora_is_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(2)}, tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").write_bytes(b"nonsense")
    (tmp_path / "c.bin").write_bytes(b"nonsense")
    for name, words in (
        ("a.safetensors", "holds no LoRA"),
        ("b.safetensors", "cannot be read"),
        ("c.bin", "no file of tensors"),
        ("d", "no file or"),
    ):
        with pytest.raises(ModelError, match=words):
            load_adapters(tiny_pipeline("sd"), [(tmp_path / name, 1.0)])
    with pytest.raises(ModelError, match="holds 2 files"):
        load_adapters(tiny_pipeline("sd"), [(tmp_path, 1.0)])
    with pytest.raises(ModelError, match="takes no LoRA"):
        load_adapters(tiny_pipeline("pixart"), [(tmp_path / "a.safetensors", 1.0)])


def test_a_pickle_runs_nothing_and_is_remarked_on(tmp_path: Path) -> None:
    tiny_pipeline("sd").save_pretrained(tmp_path / "model")
    options = ImageEngineOptions(adapters=((as_pickle(tmp_path), 1.0),))
    loaded = load_pipeline(ModelSource(name="tiny", kind="diffusers", path=tmp_path / "model"), Placement("cpu", "float32", ""), options)
    assert ["lora.bin is an old pickle" in caution for caution in loaded.cautions] == [True]
    torch.save({"unet.x.lora_A.weight": Path("/")}, tmp_path / "evil.bin")
    with pytest.raises(ModelError, match="is no file of tensors alone"):
        load_adapters(tiny_pipeline("sd"), [(tmp_path / "evil.bin", 1.0)])


@pytest.mark.slow
def test_a_real_one_fits_the_real_shape(data: Path) -> None:
    with torch.device("meta"):
        unet = diffusers.UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
    pipe = tiny_pipeline("sd")
    pipe.register_modules(unet=unet.to_empty(device="cpu").to(torch.bfloat16))
    load_adapters(pipe, [(data / "models/lora-sd15-weapons", 0.7)])
    names = [name for name, _ in pipe.unet.named_parameters() if "lora_A" in name]
    assert len(names) == 128

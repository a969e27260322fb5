"""The projection shows what the picture will be."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny
from PIL import Image
from safetensors.torch import save_file

from aigc_cli.backends.image.previews import Previewer, unpacked, vae_latents
from aigc_cli.backends.image.sizes import latent_channels
from aigc_cli.backends.image.tiny_decoder import load_tiny_decoder, make_decoder
from aigc_cli.core.errors import ModelError
from tests.backends.image.conftest import OpenEngine


@pytest.mark.parametrize("family", ["sd", "sd3", "flux", "flux2", "sana", "qwen"])
def test_latents_lose_the_scale_and_the_packing_of_their_pipeline(open_engine: OpenEngine, family: str) -> None:
    """A picture encoded as the pipelines do comes back as its VAE's own latents."""
    pipe = open_engine(family).pipe
    raw = torch.randn(2, pipe.vae.config.get("latent_channels") or 16, 4, 8, generator=torch.Generator().manual_seed(0))
    scale = pipe.vae_scale_factor
    assert torch.allclose(vae_latents(pipe, as_denoised(pipe, raw), 8 * scale, 4 * scale), raw, atol=1e-4)


def as_denoised(pipe: Any, raw: torch.Tensor) -> torch.Tensor:
    """VAE latents (B, C, h, w) as this pipeline lays them out while it draws."""
    config = pipe.vae.config
    count, channels, height, width = raw.shape
    if hasattr(pipe.vae, "bn"):
        packed = pipe._patchify_latents(raw)
        mean, spread = pipe.vae.bn.running_mean, torch.sqrt(pipe.vae.bn.running_var + config.batch_norm_eps)
        return pipe._pack_latents((packed - mean[:, None, None]) / spread[:, None, None])
    if config.get("latents_mean"):
        mean, spread = (torch.tensor(config[name])[:, None, None] for name in ("latents_mean", "latents_std"))
        scaled = (raw - mean) / spread
    else:
        scaled = (raw - (config.get("shift_factor") or 0)) * config.scaling_factor
    return pipe._pack_latents(scaled, count, channels, height, width) if hasattr(pipe, "_pack_latents") else scaled


class Pooled(torch.nn.Module):
    """A block that first looks at the whole picture, as the newer ones of the tiny autoencoders do."""

    def __init__(self, block: torch.nn.Module) -> None:
        super().__init__()
        self.block = block
        self.pool = torch.nn.Sequential(
            torch.nn.Conv2d(64, 256, 1, bias=False), torch.nn.GroupNorm(4, 256), torch.nn.ReLU(), torch.nn.Conv2d(256, 64, 1, bias=False)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.block(x + self.pool(x))
        return out


@pytest.fixture(scope="module")
def taef2(data: Path) -> Any:
    """A real VAE with real weights: the tiny one for FLUX.2's latents."""
    vae = AutoencoderTiny(latent_channels=32)
    for name, layers, first in (("encoder", vae.encoder.layers, 0), ("decoder", vae.decoder.layers, 1)):
        state = torch.load(data / f"models/taesd/taef2_{name}.pth", weights_only=True)
        places = {int(key.split(".")[0]) - first for key in state if ".pool." in key}
        for place in places:
            layers[place] = Pooled(layers[place])
        layers.load_state_dict({renamed(key, first, places): value.float() for key, value in state.items()})
    return vae.eval()


def renamed(key: str, first: int, places: set[int]) -> str:
    """As diffusers' class counts its layers, with `Pooled` around some."""
    place, rest = int(key.split(".")[0]) - first, key.split(".", 1)[1]
    return f"{place}.block.{rest}" if place in places and rest.startswith("conv") else f"{place}.{rest}"


def test_a_photograph_is_recognised_in_its_preview(data: Path, taef2: Any) -> None:
    """Fitted on random latents, the projection holds for photographs it has never seen."""
    photographs = photograph(data)
    with torch.no_grad():
        latents = taef2.encode(as_tensor(photographs)).latents
    (preview,) = Previewer(SimpleNamespace(vae=taef2, unet=None, _execution_device="cpu")).pngs(latents, 256, 256, ["white"])
    shown = np.asarray(Image.open(BytesIO(preview))).astype(float)
    wanted = np.asarray(photographs.resize((32, 32), Image.Resampling.BOX)).astype(float)
    assert np.corrcoef(shown.ravel(), wanted.ravel())[0, 1] > 0.85


def photograph(data: Path) -> Image.Image:
    return Image.open(data / "images/flowers_0.webp").convert("RGB").crop((0, 0, 256, 256))


def as_tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None] / 127.5 - 1


def test_a_tiny_decoder_shows_a_photograph_as_it_is(data: Path, taef2: Any) -> None:
    decoder = load_tiny_decoder(data / "models/taesd/taef2_decoder.pth", 32)
    with torch.no_grad():
        latents = taef2.encode(as_tensor(photograph(data))).latents
        assert torch.allclose(decoder(latents) * 2 - 1, taef2.decode(latents).sample, atol=1e-4)
    (preview,) = Previewer(SimpleNamespace(vae=taef2, unet=None, _execution_device="cpu"), decoder).pngs(latents, 256, 256, ["white"])
    shown = Image.open(BytesIO(preview))
    assert shown.size == (256, 256)
    assert np.corrcoef(np.asarray(shown).ravel(), np.asarray(photograph(data)).ravel())[0, 1] > 0.97


@pytest.mark.parametrize("family", ["sd", "flux", "flux2", "qwen"])
def test_a_tiny_decoder_gets_the_latents_that_were_denoised(open_engine: OpenEngine, family: str) -> None:
    """In two dimensions and in their own scale."""
    pipe = open_engine(family).pipe
    channels, scale = latent_channels(pipe), pipe.vae_scale_factor
    raw = torch.randn(1, channels, 4, 8, generator=torch.Generator().manual_seed(0))
    laid_out = raw
    if hasattr(pipe.vae, "bn"):
        laid_out = pipe._pack_latents(pipe._patchify_latents(raw))
    elif hasattr(pipe, "_pack_latents"):
        laid_out = pipe._pack_latents(raw, 1, channels, 4, 8)
    assert torch.equal(unpacked(pipe, laid_out, 8 * scale, 4 * scale), raw)


def test_a_preview_of_a_large_picture_is_small() -> None:
    decoder = make_decoder(4, set())
    vae = SimpleNamespace(config={"latent_channels": 4})
    (preview,) = Previewer(SimpleNamespace(vae=vae), decoder).pngs(torch.zeros(1, 4, 64, 48), 384, 512, ["white"])
    assert Image.open(BytesIO(preview)).size == (192, 256)


def test_a_tiny_decoder_as_diffusers_saves_it(tmp_path: Path) -> None:
    vae = AutoencoderTiny()
    vae.save_pretrained(tmp_path)
    latents = torch.randn(1, 4, 4, 4)
    with torch.no_grad():
        assert torch.allclose(load_tiny_decoder(tmp_path, 4)(latents) * 2 - 1, vae.decode(latents).sample, atol=1e-5)


def test_what_is_no_tiny_decoder_for_the_model(tmp_path: Path, data: Path) -> None:
    with pytest.raises(ModelError, match="latents of 32 channels, this model's have 4"):
        load_tiny_decoder(data / "models/taesd/taef2_decoder.pth", 4)
    with pytest.raises(ModelError, match="holds no tiny decoder"):
        load_tiny_decoder(data / "models/lora-sd15-weapons/pytorch_lora_weights.safetensors", 4)
    save_file({"1.weight": torch.zeros(64, 4, 3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match="of another kind"):
        load_tiny_decoder(tmp_path / "other.safetensors", 4)

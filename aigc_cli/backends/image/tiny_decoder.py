"""TAESD and its kin: small networks that decode latents nearly as a VAE does, in a fraction of its time (Bohan 2023, madebyollin/taesd)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from aigc_cli.backends.image.components import read_tensors
from aigc_cli.core.errors import ModelError

WIDTH, POOLED_WIDTH = 64, 256  # channels within
CLAMPED, BLOCKS = 3, (3, 3, 3, 1)  # latents end at three deviations; blocks at each size, twice as wide and high from one to the next
DIFFUSERS_NAME = re.compile(r"(decoder\.)?layers\.(\d+)\.(.+)")  # which numbers the layers without the clamp


class Clamp(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x / CLAMPED) * CLAMPED


class Block(nn.Module):
    """has_pool: it first adds what it makes of all channels at each place, as the newer ones do in their first blocks."""

    def __init__(self, *, has_pool: bool) -> None:
        super().__init__()
        layers = [nn.Conv2d(WIDTH, WIDTH, 3, padding=1) for _ in range(3)]
        self.conv = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
        self.pool: nn.Module | None = None
        if has_pool:
            widen, narrow = nn.Conv2d(WIDTH, POOLED_WIDTH, 1, bias=False), nn.Conv2d(POOLED_WIDTH, WIDTH, 1, bias=False)
            self.pool = nn.Sequential(widen, nn.GroupNorm(4, POOLED_WIDTH), nn.ReLU(), narrow)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.pool is not None:
            x = x + self.pool(x)
        return torch.relu(self.conv(x) + x)


def load_tiny_decoder(path: Path, channels: int) -> nn.Module:
    """The decoder (B, C, h, w) -> (B, 3, 8h, 8w), from 0 to 1, of a file or a folder of diffusers. channels: those of the model's latents.

    Raises: ModelError for what holds none, or one for other latents.
    """
    tensors = named_as_published(read_tensors(weights_file(path)))
    first = tensors.get("1.weight")
    if first is None or first.dim() != 4:
        raise ModelError(f"{path} holds no tiny decoder", "name the decoder of a TAESD, such as taesd_decoder.safetensors")
    if first.shape[1] != channels:
        raise ModelError(f"{path} decodes latents of {first.shape[1]} channels, this model's have {channels}", "name its family's decoder")
    decoder = make_decoder(channels, {int(name.partition(".")[0]) for name in tensors if ".pool." in name})
    try:
        decoder.load_state_dict(tensors)
    except RuntimeError as error:
        raise ModelError(f"{path} holds a tiny decoder of another kind", "TAESD, TAESDXL, TAESD3, TAEF1 and TAEF2 are known") from error
    return decoder.eval().float()


def make_decoder(channels: int, pooled: set[int]) -> nn.Sequential:
    """pooled: the numbers of those layers that are blocks with a pool."""
    layers: list[nn.Module] = [Clamp(), nn.Conv2d(channels, WIDTH, 3, padding=1), nn.ReLU()]
    for number, blocks in enumerate(BLOCKS):
        if number:
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False)]
        for _ in range(blocks):
            layers.append(Block(has_pool=len(layers) in pooled))
    return nn.Sequential(*layers, nn.Conv2d(WIDTH, 3, 3, padding=1))


def weights_file(path: Path) -> Path:
    return path / "diffusion_pytorch_model.safetensors" if path.is_dir() else path


def named_as_published(tensors: dict[str, Any]) -> dict[str, Any]:
    """Without an encoder that is in the file too, by the names of the original's layers."""
    if not any(DIFFUSERS_NAME.fullmatch(name) for name in tensors):
        return {name.removeprefix("decoder."): tensor for name, tensor in tensors.items() if not name.startswith("encoder.")}
    found = {}
    for name, tensor in tensors.items():
        if (match := DIFFUSERS_NAME.fullmatch(name)) and not name.startswith("encoder."):
            found[f"{int(match[2]) + 1}.{match[3]}"] = tensor
    return found

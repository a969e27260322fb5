"""Pictures -> latents, the way back from what each family's pipeline decodes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


@torch.no_grad()
def encode(vae: Any, pixels: Tensor) -> Tensor:
    """(N, C, H, W) in -1..1 to latents (N, c, h, w) as the denoiser takes them, float32: the mode of each, nothing is drawn."""
    with in_float32(vae):
        encoded = vae.encode(pixels.to(vae.device, torch.float32))
    if hasattr(encoded, "latent_dist"):
        latents = encoded.latent_dist.mode()
    else:  # AutoencoderTiny and AutoencoderDC, whose latents have no deviation
        latents = encoded.latents if hasattr(encoded, "latents") else encoded.latent
    return normalized(latents, vae.config)


@contextmanager
def in_float32(vae: Any) -> Iterator[None]:
    """Some autoencoders overflow in float16, and what is encoded once and kept is worth every digit. Going back loses nothing."""
    dtype = vae.dtype
    if dtype == torch.float32:
        yield
        return
    vae.to(torch.float32)
    try:
        yield
    finally:
        vae.to(dtype)


def normalized(latents: Tensor, config: Any) -> Tensor:
    """To about unit variance, by what the autoencoder's config says of its latents: for each channel, or for all."""
    scale = config.get("scaling_factor") or 1.0
    if config.get("latents_mean") is not None and config.get("latents_std") is not None:
        mean, deviation = (latents.new_tensor(config[name]).view(1, -1, 1, 1) for name in ("latents_mean", "latents_std"))
        return (latents - mean) * scale / deviation
    return (latents - (config.get("shift_factor") or 0.0)) * scale

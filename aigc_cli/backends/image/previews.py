"""What a picture will look like, from its latents alone: a linear projection to RGB(A), a pixel for each latent, or a tiny decoder's work.

The projection is fitted once to the model's own VAE: least squares finds the weights that come nearest to what it decodes from
random latents. So it suits any VAE, without a table of published weights. The idea of a projection: Keturn 2022, "Decoding
latents to RGB without upscaling" (discuss.huggingface.co/t/23204). On photographs in FLUX.2's latents (tiny autoencoder) its
colours correlate with the picture's by 0.88, the best projection for just these photographs by 0.93.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image

from aigc_cli.backends.image.sizes import latent_channels, size_multiple
from aigc_cli.pictures.alpha import laid_on

SIDE = 256  # pixels of a decoded preview's longer side, at most
CELLS = 24  # random latents on each side: 576 of them for the 5 to 33 weights of a colour


class Previewer:
    """Makes small PNGs of estimates: through a tiny decoder where there is one, else through the projection, fitted at the first call."""

    def __init__(self, pipe: Any, decoder: torch.nn.Module | None = None) -> None:
        self.pipe, self.decoder = pipe, decoder
        self.weights: torch.Tensor | None = None  # (C + 1, 3 or with alpha 4), the last row added

    def pngs(self, estimate: torch.Tensor, width: int, height: int, grounds: Sequence[str]) -> list[bytes]:
        """One for each picture. estimate: of the denoised latents, as the pipeline lays them out.

        grounds: the colour that is seen through each, of a model that draws transparency.
        """
        colours = self.decoded(estimate, width, height) if self.decoder else self.projected(estimate, width, height)
        pixels = (colours.clamp(0, 1) * 255).round().to(torch.uint8).movedim(1, -1).numpy()
        return [png(laid_on(Image.fromarray(picture), ground)) for picture, ground in zip(pixels, grounds, strict=True)]

    def projected(self, estimate: torch.Tensor, width: int, height: int) -> torch.Tensor:
        """(B, 3 or 4, h, w) from 0 to 1."""
        if self.weights is None:
            self.weights = fit(self.pipe)
        latents = vae_latents(self.pipe, estimate, width, height).movedim(1, -1)  # (B, h, w, C)
        return ((latents @ self.weights[:-1] + self.weights[-1] + 1) / 2).movedim(-1, 1)

    @torch.no_grad()
    def decoded(self, estimate: torch.Tensor, width: int, height: int) -> torch.Tensor:
        """(B, 3, H, W) from 0 to 1, made small. The decoder is on the CPU, as it was trained: on latents in the scale of denoising."""
        assert self.decoder
        picture: torch.Tensor = self.decoder(unpacked(self.pipe, estimate, width, height))
        share = SIDE / max(picture.shape[2:])
        return F.interpolate(picture, scale_factor=share, mode="area") if share < 1 else picture


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def unpacked(pipe: Any, estimate: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """Latents (B, C, h, w) in the scale that they are denoised in, in float32 on the CPU."""
    return spread_out(pipe, in_two_dimensions(pipe, estimate, width, height))


def in_two_dimensions(pipe: Any, estimate: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """(B, C, h, w); where a token holds a patch of 2 by 2, its latents are still channels."""
    latents = estimate.detach().float().cpu()
    if latents.dim() == 3:  # tokens (B, h * w, C)
        multiple = size_multiple(pipe)
        latents = latents.transpose(1, 2).reshape(*latents.shape[::2], height // multiple, width // multiple)
    elif latents.dim() == 5:  # (B, C, frames, h, w)
        latents = latents[:, :, 0]
    return latents


def spread_out(pipe: Any, latents: torch.Tensor) -> torch.Tensor:
    """Patches that are channels, as places."""
    return F.pixel_shuffle(latents, 2) if latents.shape[1] == 4 * latent_channels(pipe) else latents


def vae_latents(pipe: Any, estimate: torch.Tensor, width: int, height: int) -> torch.Tensor:
    """Latents (B, C, h, w) as the VAE knows them, in float32 on the CPU: unpacked, and without the scale they are denoised in."""
    latents = in_two_dimensions(pipe, estimate, width, height)
    config = pipe.vae.config
    if hasattr(pipe.vae, "bn"):
        spread = torch.sqrt(pipe.vae.bn.running_var.float().cpu() + config.batch_norm_eps)
        latents = latents * spread[:, None, None] + pipe.vae.bn.running_mean.float().cpu()[:, None, None]
    latents = spread_out(pipe, latents)
    if config.get("latents_mean"):
        mean, spread = (torch.tensor(config[name])[:, None, None] for name in ("latents_mean", "latents_std"))
        latents = latents * spread + mean
    elif config.get("scaling_factor") and not hasattr(pipe.vae, "bn"):
        latents = latents / config["scaling_factor"] + (config.get("shift_factor") or 0.0)
    return latents


@torch.no_grad()
def fit(pipe: Any) -> torch.Tensor:
    """Weights (C + 1, 3 or 4) from latents, with a 1 at their end, to RGB or RGBA from -1 to 1."""
    channels, generator = latent_channels(pipe), torch.Generator().manual_seed(0)
    is_patched = hasattr(pipe.vae, "bn")  # it is normalised in patches of 2 by 2
    shape = (1, 4 * channels, CELLS // 2, CELLS // 2) if is_patched else (1, channels, CELLS, CELLS)
    latents = vae_latents(pipe, torch.randn(shape, generator=generator), CELLS, CELLS)
    seen = F.interpolate(decode(pipe, latents), (CELLS, CELLS), mode="area")[0].flatten(1).T  # (h * w, 3 or 4)
    inputs = torch.cat([latents[0].flatten(1).T, torch.ones(CELLS * CELLS, 1)], dim=1)
    weights: torch.Tensor = torch.linalg.lstsq(inputs, seen).solution
    return weights


def decode(pipe: Any, latents: torch.Tensor) -> torch.Tensor:
    """Latents (1, C, h, w) -> a picture (1, 3 or 4, H, W) in float32 on the CPU."""
    vae = pipe.vae
    latents = latents.to(pipe._execution_device, vae.dtype)  # not that of the weights: those may lie in main memory
    takes_frames = any(parameter.dim() == 5 for parameter in vae.parameters())
    picture: torch.Tensor = vae.decode(latents[:, :, None] if takes_frames else latents, return_dict=False)[0]
    return (picture[:, :, 0] if takes_frames else picture).float().cpu()

"""What an autoencoder learns: to give back a picture, from latents that a denoiser finds easy.

The error is taken where it is seen: of colours over black and over white, and of transparency, as the absolute error of a Laplacian
pyramid (arXiv:1707.05776, section 3), so that edges and areas both count. Latents bear a little noise and stay near unit size; and
those of a mirrored or a halved picture are the picture's latents, mirrored or halved (EQ-VAE, arXiv:2502.09509).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aigc_cli.backends.train.image.autoencoder_training import AutoencoderTraining
from aigc_cli.backends.train.image.pixels import to_tensor
from aigc_cli.backends.train.objective import Unit

LEVELS = 3  # of the pyramid, besides what remains
UNSEEN = 0.02  # weight of colours whatever their transparency: white where nothing is seen, as in the data
FAINT = 1e-3  # transparency below which a colour cannot be told


@dataclass(frozen=True)
class SeenPicture:
    """pixels: (H, W, channels) of 8 bits.  draw: seed of how it is moved and treated this time, and of its latents' noise."""

    pixels: numpy.ndarray
    draw: int


@dataclass(frozen=True)
class Treatment:
    """How a picture is seen: moved by (down, right) pixels, mirrored or not; and how its latents are changed, which bear `noise`."""

    move: tuple[int, int]
    is_mirrored: bool
    change: Literal["none", "mirrored", "halved"]
    noise: Tensor


class Reconstruction:
    """module: the autoencoder.  device: it is on."""

    unit: Unit = "pictures"
    to_save_memory = "lower batch_size in [autoencoder_training]"
    learning_rate_option = "learning_rate in [autoencoder_training]"

    def __init__(self, module: nn.Module, training: AutoencoderTraining, device: str) -> None:
        self.module, self.training, self.device = module, training, device

    def weight(self, rows: Sequence[SeenPicture]) -> float:
        return len(rows)

    def size(self, rows: Sequence[SeenPicture]) -> int:
        return len(rows)

    def loss(self, rows: Sequence[SeenPicture]) -> Tensor:
        """Each picture's treatment is its own, whichever others run beside it."""
        pixels = to_tensor(numpy.stack([row.pixels for row in rows]))
        vae: Any = self.module
        shape = latent_shape(vae, pixels)
        treatments = [draw_treatment(row.draw, self.training, shape) for row in rows]
        pixels = torch.stack([seen(picture, treatment) for picture, treatment in zip(pixels, treatments, strict=True)]).to(self.device)
        noise = torch.stack([treatment.noise for treatment in treatments]).to(self.device)
        latents, penalties = encode(vae, pixels, noise, self.training.latent_noise)
        loss = self.training.latent_penalty * penalties.sum()
        for change in ("none", "mirrored", "halved"):
            if chosen := [number for number, treatment in enumerate(treatments) if treatment.change == change]:
                loss = loss + self._given_back(change, latents[chosen], pixels[chosen])
        return loss

    def _given_back(self, change: str, latents: Tensor, pixels: Tensor) -> Tensor:
        if change == "mirrored":
            latents, pixels = latents.flip(3), pixels.flip(3)
        elif change == "halved":
            scale = pixels.shape[2] // latents.shape[2]
            height, width = latents.shape[2] // 2, latents.shape[3] // 2
            latents, pixels = scaled(latents, height, width), scaled_picture(pixels, height * scale, width * scale)
        return errors(decode(self.module, latents), pixels).sum()


def latent_shape(vae: Any, pixels: Tensor) -> tuple[int, int, int]:
    scale = 2 ** (len(vae.config.block_out_channels) - 1)
    return vae.config.latent_channels, pixels.shape[2] // scale, pixels.shape[3] // scale


def draw_treatment(draw: int, training: AutoencoderTraining, shape: tuple[int, int, int]) -> Treatment:
    """Of the seed alone, on the CPU, so that devices and resumes agree. shape: of the latents."""
    generator = torch.Generator().manual_seed(draw)
    down, right = torch.randint(-training.shift, training.shift + 1, (2,), generator=generator).tolist()
    side, kind = torch.rand(2, generator=generator).tolist()
    change: Literal["none", "mirrored", "halved"] = "none"
    if kind < training.mirrored + training.halved:
        change = "mirrored" if kind < training.mirrored else "halved"
    return Treatment((down, right), side < 0.5, change, torch.randn(shape, generator=generator))


def seen(pixels: Tensor, treatment: Treatment) -> Tensor:
    """What leaves a picture (channels, H, W) on one side comes in on the other."""
    moved = pixels.roll(treatment.move, (1, 2))
    return moved.flip(2) if treatment.is_mirrored else moved


def encode(vae: Any, pixels: Tensor, noise: Tensor, deviation: float) -> tuple[Tensor, Tensor]:
    """Latents with noise, and how far those of each picture (N) are from what they should be; both in float32."""
    encoded = vae.encode(pixels.to(vae.dtype))
    if hasattr(encoded, "latents"):  # AutoencoderTiny
        latents = encoded.latents.float()
        return latents + deviation * noise, latents.square().mean((1, 2, 3))
    spread = encoded.latent_dist
    latents = spread.mean.float() + spread.std.float() * noise
    return latents, spread.kl().float() / latents[0].numel()


def decode(vae: Any, latents: Tensor) -> Tensor:
    """Pixels in about -1..1, float32."""
    pixels: Tensor = vae.decode(latents.to(vae.dtype)).sample.float()
    return pixels


def errors(made: Tensor, wanted: Tensor) -> Tensor:
    """(N) by how much pictures in -1..1 differ."""
    error = pyramid_error(torch.cat(list(views(made).values()), 1) - torch.cat(list(views(wanted).values()), 1))
    if made.shape[1] == 4:
        error = error + UNSEEN * (made - wanted)[:, :3].abs().mean((1, 2, 3))
    return error


def views(pixels: Tensor) -> dict[str, Tensor]:
    """What is seen of pictures in -1..1: colours in 0..1; where there is transparency, over black and over white, and it itself."""
    pixels = (pixels + 1) / 2
    if pixels.shape[1] == 3:
        return {"colour": pixels}
    alpha = pixels[:, 3:]
    over_black = pixels[:, :3] * alpha
    return {"black": over_black, "white": over_black + 1 - alpha, "alpha": alpha}


def pyramid_error(difference: Tensor) -> Tensor:
    """(N) mean absolute value of each level, added up. As the pyramid is linear, that of a difference is the pyramids' difference."""
    error = torch.zeros(len(difference), device=difference.device)
    for _ in range(LEVELS):
        if min(difference.shape[2:]) < 2:
            break
        coarse = F.avg_pool2d(difference, 2)
        fine = difference - F.interpolate(coarse, size=difference.shape[2:], mode="bilinear")
        error = error + fine.abs().mean((1, 2, 3))
        difference = coarse
    return error + difference.abs().mean((1, 2, 3))


def scaled(maps: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(maps, size=(height, width), mode="bilinear", antialias=True)


def scaled_picture(pixels: Tensor, height: int, width: int) -> Tensor:
    """Colours weigh by their opacity; where none is left, they are white."""
    if pixels.shape[1] == 3:
        return scaled(pixels, height, width)
    pixels = (pixels + 1) / 2
    small = scaled(torch.cat([pixels[:, :3] * pixels[:, 3:], pixels[:, 3:]], 1), height, width)
    alpha = small[:, 3:]
    colours = torch.where(alpha > FAINT, small[:, :3] / alpha.clamp(min=FAINT), torch.ones_like(small[:, :3]))
    return torch.cat([colours, alpha], 1) * 2 - 1

"""Pictures to learn, and the parts of a learner, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import Parameter

from aigc_cli.backends.device import Placement
from aigc_cli.backends.train.image.families import open_family
from aigc_cli.backends.train.image.family import Family
from aigc_cli.backends.train.image.methods import prepare
from aigc_cli.backends.train.image.noising import noising_of
from aigc_cli.backends.train.image.objective import Denoise, LearnedPicture
from aigc_cli.backends.train.trainable import Trainable
from aigc_cli.core.finetune_image import Diffusion, ImageTuning

FAMILIES = ["sd", "sdxl", "sd3", "flux", "pixart"]  # Sana's instruction makes it slow
CAPTIONS = ("a red fox", "一只狐狸", "", "two foxes")
SIZE = torch.tensor([80, 96, 0, 16, 64, 64])
CPU = Placement("cpu", "float32", "")


@torch.no_grad()
def pictures(family: Family, *, as_tokens: bool = False) -> list[LearnedPicture]:
    """One for each caption. as_tokens: for text encoders that are trained."""
    channels, side = family.pipeline.vae.config.latent_channels, 8
    generator = torch.Generator().manual_seed(0)
    rows = []
    for number, caption in enumerate(CAPTIONS):
        told = family.tokens([caption])
        told = told if as_tokens else family.embed(told)
        latents = torch.randn(channels, side, side, generator=generator)
        rows.append(LearnedPicture(latents, {name: value[0] for name, value in told.items()}, SIZE, draw=1000 + number))
    return rows


def objective_of(pipe: Any, tuning: ImageTuning, diffusion: Diffusion | None = None) -> tuple[Denoise, Trainable]:
    family = open_family(pipe)
    trainable = prepare(family, tuning, seed=0)
    return Denoise(family, noising_of(pipe.scheduler, diffusion or Diffusion()), trainable, "cpu"), trainable


def shake(weights: Mapping[str, Parameter]) -> None:
    """Moves every one a little: fresh adapters change nothing, and have no gradient in one half."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in weights.values():
            weight.add_(0.05 * torch.randn(weight.shape, generator=generator).to(weight.dtype))

"""How much noise a picture is hidden in, and what is to be said of it, as the pipeline's scheduler understands both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor

from aigc_cli.backends.image.schedulers import is_flow
from aigc_cli.backends.train.image.family import Noising
from aigc_cli.core.errors import UsageError
from aigc_cli.core.finetune_image import Diffusion

Prediction = Literal["epsilon", "v_prediction", "sample"]
PREDICTIONS = ("epsilon", "v_prediction", "sample")


@dataclass(frozen=True)
class DiffusionNoising:
    """Denoising diffusion (Ho et al. 2020, arXiv:2006.11239): sqrt(a) * latents + sqrt(1 - a) * noise, with a = alphas_cumprod[t].

    alphas_cumprod: (T) float32.  prediction: the noise, the velocity sqrt(a) * noise - sqrt(1 - a) * latents (Salimans and Ho
    2022, arXiv:2202.00512), or the latents.  min_snr_gamma: see Diffusion.
    """

    alphas_cumprod: Tensor
    prediction: Prediction
    min_snr_gamma: float | None = None

    def draw_times(self, generator: torch.Generator, count: int) -> Tensor:
        """All levels alike."""
        return torch.rand(count, generator=generator)

    def timesteps(self, times: Tensor) -> Tensor:
        """Whole numbers below T."""
        levels = len(self.alphas_cumprod)
        return (times * levels).long().clamp(max=levels - 1)

    def add(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        alphas = self._alphas(times)
        return alphas.sqrt() * latents + (1 - alphas).sqrt() * noise

    def target(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        match self.prediction:
            case "epsilon":
                return noise
            case "sample":
                return latents
            case "v_prediction":
                alphas = self._alphas(times)
                return alphas.sqrt() * noise - (1 - alphas).sqrt() * latents

    def weights(self, times: Tensor) -> Tensor:
        """1, or the lesser of gamma and the signal-to-noise ratio, which weighs an error of the latents, for what is predicted.

        Written so that a level without any signal divides by nothing.
        """
        gamma = self.min_snr_gamma
        if gamma is None:
            return torch.ones_like(times)
        alphas = self._alphas(times).flatten()
        ratio = alphas / (1 - alphas)
        match self.prediction:
            case "epsilon":  # min(ratio, gamma) / ratio
                return gamma / ratio.clamp(min=gamma)
            case "v_prediction":
                return ratio.clamp(max=gamma) / (ratio + 1)
            case "sample":
                return ratio.clamp(max=gamma)

    def _alphas(self, times: Tensor) -> Tensor:
        """(N, 1, 1, 1)"""
        return self.alphas_cumprod.to(times.device)[self.timesteps(times)].view(-1, 1, 1, 1)


@dataclass(frozen=True)
class FlowNoising:
    """Rectified flow (Liu et al. 2022, arXiv:2209.03003): (1 - time) * latents + time * noise, and the way from one to the other.

    levels: what the scheduler's timesteps count up to.  shift: towards noise, as the scheduler shifts its own; 1 for one that shifts
    by the picture's size, for which the training scripts of diffusers do not shift either.
    """

    levels: int
    shift: float = 1.0

    def draw_times(self, generator: torch.Generator, count: int) -> Tensor:
        """Logit-normal, most of them in the middle, and then shifted (Esser et al. 2024, arXiv:2403.03206, sections 3.1 and 5.3.2)."""
        times = torch.randn(count, generator=generator).sigmoid()
        return self.shift * times / (1 + (self.shift - 1) * times)

    def timesteps(self, times: Tensor) -> Tensor:
        return times * self.levels

    def add(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        return torch.lerp(latents, noise, times.view(-1, 1, 1, 1))

    def target(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        return noise - latents

    def weights(self, times: Tensor) -> Tensor:
        return torch.ones_like(times)


def noising_of(scheduler: Any, diffusion: Diffusion) -> Noising:
    """Raises: UsageError for a scheduler that is not known, or options that mean nothing to it."""
    config = scheduler.config
    if is_flow(scheduler):
        if diffusion.min_snr_gamma is not None:
            raise UsageError("--min-snr-gamma has no meaning for this model, which matches flows", "leave it out")
        shift = 1.0 if config.get("use_dynamic_shifting") else config.get("shift", config.get("flow_shift"))
        return FlowNoising(int(config.num_train_timesteps), float(shift or 1.0))
    alphas, prediction = getattr(scheduler, "alphas_cumprod", None), config.get("prediction_type")
    if alphas is None or prediction not in PREDICTIONS:
        name = type(scheduler).__name__
        raise UsageError(f"a model with a {name} that predicts {prediction} cannot be trained here", "choose another model")
    return DiffusionNoising(alphas.float().cpu(), cast(Prediction, prediction), diffusion.min_snr_gamma)

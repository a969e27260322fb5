"""What a diffusion model learns: to tell what a picture was hidden in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aigc_cli.backends.train.image.family import Conditioning, Family, Noising
from aigc_cli.backends.train.image.text_conditioning import TOKEN_IDS
from aigc_cli.backends.train.objective import Unit
from aigc_cli.backends.train.trainable import Trainable

TO_SAVE_MEMORY = "try --gradient-checkpointing, a lower --resolution, --method lora or a smaller model"


@dataclass(frozen=True, eq=False)
class LearnedPicture:
    """One picture, as it is learnt in one step.

    latents: (c, h, w) float32.  conditioning: of its caption, without the first dimension: embeddings, or tokens where a text
    encoder is trained.  size: (6), see Family.predict.  draw: seed of its noise and of how much of it there is.
    """

    latents: Tensor
    conditioning: Conditioning
    size: Tensor
    draw: int


@dataclass(frozen=True)
class Hidden:
    """Pictures in noise, on the CPU in float32, the first dimension of all being theirs.

    noisy, target: (N, c, h, w).  weights: of each one's error.
    """

    noisy: Tensor
    timesteps: Tensor
    target: Tensor
    weights: Tensor


class Denoise:
    """The mean over a picture's latents of the squared error, each picture weighing what its level of noise does.

    Noise and level come from a picture's `draw` alone, so that neither its batch nor the device changes them.
    """

    unit: Unit = "pictures"
    to_save_memory = TO_SAVE_MEMORY
    learning_rate_option = "--learning-rate"

    def __init__(self, family: Family, noising: Noising, trainable: Trainable, device: str) -> None:
        self.family, self.noising, self.device = family, noising, device
        self.module: nn.Module = trainable.model

    def weight(self, rows: Sequence[LearnedPicture]) -> float:
        return len(rows)

    def loss(self, rows: Sequence[LearnedPicture]) -> Tensor:
        hidden = hide(rows, self.noising)
        return (self._errors(rows, hidden) * hidden.weights.to(self.device)).sum()

    def size(self, rows: Sequence[LearnedPicture]) -> int:
        return len(rows)

    def errors(self, rows: Sequence[LearnedPicture], times: Tensor | None = None) -> Tensor:
        """(N) without weights, so that runs with different ones can be compared. times: levels of noise in place of the drawn ones."""
        return self._errors(rows, hide(rows, self.noising, times))

    def _errors(self, rows: Sequence[LearnedPicture], hidden: Hidden) -> Tensor:
        told = {name: torch.stack([row.conditioning[name] for row in rows]) for name in rows[0].conditioning}
        if TOKEN_IDS in told:
            told = dict(self.family.embed(told))
        sizes = torch.stack([row.size for row in rows])
        prediction = self.family.predict(hidden.noisy.to(self.device), hidden.timesteps.to(self.device), told, sizes)
        return (prediction.float() - hidden.target.to(self.device)).square().flatten(1).mean(1)


def hide(rows: Sequence[LearnedPicture], noising: Noising, times: Tensor | None = None) -> Hidden:
    """Pictures of one size. times: (N) levels of noise, in place of those that are drawn."""
    drawn_times, noise = [], []
    for row in rows:
        generator = torch.Generator().manual_seed(row.draw)
        drawn_times.append(noising.draw_times(generator, 1))
        noise.append(torch.randn(row.latents.shape, generator=generator))
    latents, drawn = torch.stack([row.latents for row in rows]), torch.stack(noise)
    time = torch.cat(drawn_times) if times is None else times
    return Hidden(noising.add(latents, drawn, time), noising.timesteps(time), noising.target(latents, drawn, time), noising.weights(time))

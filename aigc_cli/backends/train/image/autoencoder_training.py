"""How a new autoencoder is trained, as the table [autoencoder_training] says."""

from __future__ import annotations

from dataclasses import dataclass

from aigc_cli.core.errors import UsageError
from aigc_cli.core.finetune import Optimization, Pace
from aigc_cli.core.request import check


@dataclass(frozen=True, kw_only=True)
class AutoencoderTraining:
    """batch_size: pictures of a step.  warmup: share of the steps.  average: decay of the weights' exponential average.

    eval_steps: 0 for ten times in all.
    latent_noise: what is added to latents before they are decoded, in the same unit as they: the decoder then bears what a denoiser
    leaves over. AutoencoderKL draws it by its own deviations instead.
    latent_penalty: of the latents' mean square; for AutoencoderKL of its divergence from a standard normal distribution.
    mirrored, halved: shares of the pictures whose latents are mirrored, or brought to half the size, before they are decoded, and
    compared with the picture that was treated alike: such latents are easier to denoise (EQ-VAE, arXiv:2502.09509).
    shift: pixels that pictures are moved by, at most, each way.
    """

    steps: int = 4000
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    warmup: float = 0.03
    average: float = 0.999
    eval_steps: int = 0
    latent_noise: float = 0.08
    latent_penalty: float = 1e-3
    mirrored: float = 0.25
    halved: float = 0.35
    shift: int = 8

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size"):
            check(name, getattr(self, name), 1)
        check("eval_steps", self.eval_steps, 0)
        check("learning_rate", self.learning_rate, 0.0, 10.0, low_open=True)
        check("warmup", self.warmup, 0.0, 1.0)
        check("average", self.average, 0.0, 0.999999)
        for name in ("weight_decay", "latent_noise", "latent_penalty"):
            check(name, getattr(self, name), 0.0, 10.0)
        check("shift", self.shift, 0)
        for name in ("mirrored", "halved"):
            check(name, getattr(self, name), 0.0, 1.0)
        if self.mirrored + self.halved > 1:
            raise UsageError("mirrored and halved are more than all pictures together", "lower one of the two")

    @property
    def optimization(self) -> Optimization:
        return Optimization(learning_rate=self.learning_rate, weight_decay=self.weight_decay, warmup=self.warmup)

    @property
    def pace(self) -> Pace:
        return Pace(max_steps=self.steps, batch_size=self.batch_size, eval_steps=self.eval_steps or None, keep=1)

"""What differs between the kinds of pipelines, as training sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

Conditioning = Mapping[str, Tensor]  # (N, ...) each: what a denoiser is told besides the noisy latents


class Family(Protocol):
    """One loaded pipeline, taken apart for training.

    pipeline: the diffusers pipeline itself.  denoiser: its UNet or transformer.  text_encoders: those it has, in the order that
    its LoRA files name them.
    scale: how many pixels of width one latent stands for; sides of pictures are multiples of `multiple`.
    channels: 3, or 4 where the autoencoder knows alpha.  resolution: the side that the model was made for.
    """

    pipeline: Any
    denoiser: nn.Module
    text_encoders: Sequence[nn.Module]
    scale: int
    multiple: int
    channels: int
    resolution: int

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """(N, channels, H, W) in -1..1 to the latents that the denoiser works on, float32. Draws nothing: the mode, not a sample."""

    def tokens(self, captions: Sequence[str]) -> Conditioning:
        """Token ids, for `embed`; what the tokenizer cuts off is told by `cut_tokens`."""

    def cut_tokens(self, caption: str) -> int:
        """How many tokens of a caption the text encoders do not see."""

    def embed(self, tokens: Conditioning) -> Conditioning:
        """By the text encoders, with gradients where they are trained."""

    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning, sizes: Tensor) -> Tensor:
        """What the denoiser says of noisy latents (N, c, h, w); the target's shape.

        timesteps: (N) as the scheduler numbers them.  sizes: (N, 6) original height and width, top and left of the crop, height
        and width that are learnt, for the families which are told.
        """


class Noising(Protocol):
    """How pictures are hidden in noise, and what is to be said of it: noise, velocity, or the flow from one to the other."""

    def draw_times(self, generator: torch.Generator, count: int) -> Tensor:
        """(count) levels of noise at random, as training weighs them: float32 in 0..1."""

    def timesteps(self, times: Tensor) -> Tensor:
        """What the denoiser is told of them."""

    def add(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """Noisy latents."""

    def target(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """What the denoiser is to say."""

    def weights(self, times: Tensor) -> Tensor:
        """(N) of each level's squared error."""

"""A pipeline's text encoders, which can be given up once all prompts are encoded: some are larger than the denoiser."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

import torch

NAMES = ("text_encoder", "text_encoder_2", "text_encoder_3")


class GivenUp:
    """Stands where a text encoder was, and tells what a pipeline asks of one that it need not run."""

    def __init__(self, encoder: Any) -> None:
        self.kind, self.config, self.dtype = type(encoder).__name__, encoder.config, encoder.dtype

    def __call__(self, *arguments: Any, **options: Any) -> NoReturn:
        """Raises: ValueError."""
        raise ValueError("its text encoders were given up, and this prompt was not encoded ahead")


def kind_of(encoder: Any) -> str:
    """The name of its class, also of one that was given up."""
    return encoder.kind if isinstance(encoder, GivenUp) else type(encoder).__name__


def encoders(pipe: Any) -> dict[str, torch.nn.Module]:
    """Those that are there, by their names in the pipeline."""
    found = {name: pipe.components.get(name) for name in NAMES}
    return {name: encoder for name, encoder in found.items() if isinstance(encoder, torch.nn.Module)}


def encoder_bytes(pipe: Any) -> int:
    return sum(weight.nbytes for encoder in encoders(pipe).values() for weight in encoder.parameters())


def give_up(pipes: Iterable[Any]) -> None:
    """pipes: all that share the encoders. The memory is free once the last of them has let go."""
    for pipe in pipes:
        for name, encoder in encoders(pipe).items():
            setattr(pipe, name, GivenUp(encoder))

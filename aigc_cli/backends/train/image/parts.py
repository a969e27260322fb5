"""The parts of a pipeline under training: which keep what, which are given up, and the pipeline that draws with them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from aigc_cli.backends.image.text_encoders import NAMES
from aigc_cli.backends.train.image.denoisers import compute_dtype
from aigc_cli.backends.train.image.family import Family
from aigc_cli.backends.train.trainable import Trainable
from aigc_cli.core.errors import UsageError


def drawing_pipeline(family: Family, trainable: Trainable) -> Any:
    """The pipeline once more, sharing what is trained; its other parts in the dtype that the denoiser computes in."""
    pipeline = copy.copy(family.pipeline)
    trained = {id(part) for part in trainable.model.values()}
    dtype = compute_dtype(family.denoiser)
    for name in ("vae", *NAMES):
        part = pipeline.components.get(name)
        if isinstance(part, nn.Module) and id(part) not in trained and part.dtype != dtype:
            setattr(pipeline, name, copy.deepcopy(part).to(dtype))
    return pipeline


def give_up(part: nn.Module) -> None:
    """Frees its weights, whoever still holds on to it."""
    part.to("meta")


def held_bytes(family: Family, trainable: Trainable, compute_bytes: int, *, keeps_encoders: bool) -> int:
    """Of the weights that stay in memory while training goes on, those of the trained parts as they are computed with."""
    trained = list(trainable.model.values())
    total: int = sum(weight.numel() * compute_bytes for part in trained for weight in part.parameters())
    others = (family.pipeline.vae, *(family.text_encoders if keeps_encoders else ()))
    frozen = [part for part in others if not any(part is each for each in trained)]
    total += sum(weight.nbytes for part in frozen for weight in part.parameters())
    return total


def can_checkpoint(trainable: Trainable) -> bool:
    return all(getattr(part, "_supports_gradient_checkpointing", True) for part in trainable.model.values())


def refuse_checkpointing(trainable: Trainable) -> None:
    """Raises: UsageError for a network that cannot."""
    if not can_checkpoint(trainable):
        name = type(next(iter(trainable.model.values()))).__name__
        raise UsageError(f"a {name} cannot compute its activations again", "leave out --gradient-checkpointing")


def set_checkpointing(trainable: Trainable, is_on: bool) -> None:
    """Of a network that can."""
    for part in trainable.model.values():
        if hasattr(part, "enable_gradient_checkpointing"):  # of diffusers
            (part.enable_gradient_checkpointing if is_on else part.disable_gradient_checkpointing)()
        elif is_on:
            part.gradient_checkpointing_enable({"use_reentrant": False})
        else:
            part.gradient_checkpointing_disable()


@contextmanager
def checkpointing(trainable: Trainable, is_on: bool) -> Iterator[None]:
    """In training mode, with activations computed again or not."""
    trainable.model.train()
    if is_on:
        set_checkpointing(trainable, True)
    try:
        yield
    finally:
        if is_on:
            set_checkpointing(trainable, False)

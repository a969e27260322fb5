"""The pipeline that training begins with, loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from aigc_cli.backends.device import Placement
from aigc_cli.backends.image.load import be_quiet, read
from aigc_cli.backends.torch_load import memory_errors, reason
from aigc_cli.backends.train.image.blueprint import Blueprint
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import AigcError, ModelError

OUT_OF_MEMORY_HINT = "try a smaller model, or --dtype bfloat16"


@dataclass(frozen=True)
class Base:
    """The model that training begins with, and where. blueprint: in place of weights, from scratch.

    stored_dtype: of its denoiser's weights on disk, and of the result's if it is a whole pipeline.
    """

    source: ModelSource
    placement: Placement
    blueprint: Blueprint | None
    stored_dtype: str


def load_base(base: Base, *, is_adapter: bool) -> Any:
    """The pipeline, on its device and ready to draw.

    Raises: ModelError for what diffusers cannot load, OutOfMemoryError.
    """
    be_quiet()
    placement = base.placement
    try:
        with memory_errors(placement.device, OUT_OF_MEMORY_HINT):
            pipeline = read(base.source, getattr(torch, loaded_dtype(base, is_adapter=is_adapter)))
            return settled(pipeline, placement.device)
    except AigcError:
        raise
    except Exception as error:  # diffusers and transformers raise almost anything for a file they do not know
        raise ModelError(f"{base.source.name} cannot be loaded: {reason(error)}", f"the files are in {base.source.path}") from error


def loaded_dtype(base: Base, *, is_adapter: bool) -> str:
    """Weights that stay frozen come in the dtype to compute in; those that will be trained keep every digit they are stored with."""
    return base.placement.dtype if is_adapter or base.stored_dtype == base.placement.dtype else "float32"


def settled(pipeline: Any, device: str) -> Any:
    """On its device, without bars of its own and without dropout. Convolutions keep their layout, unlike where a pipeline only draws."""
    pipeline.set_progress_bar_config(disable=True)
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    if hasattr(pipeline.vae, "enable_slicing"):
        pipeline.vae.enable_slicing()
    return pipeline.to(device)

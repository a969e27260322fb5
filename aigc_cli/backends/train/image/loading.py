"""The pipeline that training begins with, and what its files say of it before it is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from aigc_cli.backends.device import Placement
from aigc_cli.backends.image.load import DENOISERS, be_quiet, read
from aigc_cli.backends.torch_load import memory_errors, reason
from aigc_cli.backends.train.image.blueprint import Blueprint
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import AigcError, ModelError

DTYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32"}  # as safetensors calls them
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

    Weights that stay frozen come in the dtype to compute in; those that will be trained keep every digit they are stored with.
    Raises: ModelError for what diffusers cannot load, OutOfMemoryError.
    """
    be_quiet()
    placement = base.placement
    dtype = placement.dtype if is_adapter or base.stored_dtype == placement.dtype else "float32"
    try:
        with memory_errors(placement.device, OUT_OF_MEMORY_HINT):
            pipeline = read(base.source, getattr(torch, dtype))
            return settled(pipeline, placement.device)
    except AigcError:
        raise
    except Exception as error:  # diffusers and transformers raise almost anything for a file they do not know
        raise ModelError(f"{base.source.name} cannot be loaded: {reason(error)}", f"the files are in {base.source.path}") from error


def settled(pipeline: Any, device: str) -> Any:
    """On its device, without bars of its own and without dropout. Convolutions keep their layout, unlike where a pipeline only draws."""
    pipeline.set_progress_bar_config(disable=True)
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval()
    if hasattr(pipeline.vae, "enable_slicing"):
        pipeline.vae.enable_slicing()
    return pipeline.to(device)


def stored_dtype(source: ModelSource) -> str:
    """Of the denoiser's first tensor. Raises: ModelError where there is none that can be read."""
    for path in weight_files(source):
        try:
            with safe_open(path, framework="pt") as file:
                names = sorted(file.keys())
                of_denoiser = [name for name in names if name.startswith("model.diffusion_model.")] or names
                return DTYPES.get(file.get_slice(of_denoiser[0]).get_dtype(), "float32")
        except (SafetensorError, OSError, IndexError) as error:
            raise ModelError(f"{path} cannot be read: {error}", "fetch it again") from error
    raise ModelError(f"{source.name} has no denoiser's weights as safetensors", f"the files are in {source.path}")


def weight_files(source: ModelSource) -> Iterator[Path]:
    """Of the denoiser, or the file that holds all."""
    assert source.path is not None
    if source.kind != "diffusers":
        yield source.path
        return
    for name in DENOISERS:
        yield from sorted((source.path / name).glob("*.safetensors"))

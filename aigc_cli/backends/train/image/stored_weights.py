"""What the headers of a pipeline's files say of its weights; none of them is read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import diffusers
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from aigc_cli.backends.image.load import DENOISERS, holds_every_part
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import ModelError

DTYPES = {"F16": "float16", "BF16": "bfloat16", "F32": "float32"}  # as safetensors calls them
DENOISER = "denoiser"  # the part, whatever its folder is called
STEMS = ("diffusion_pytorch_model", "model")  # of the files that diffusers and transformers read; variants add to them
IN_ONE_FILE = {  # how the names of a part's tensors begin in a file that holds several
    "model.diffusion_model.": DENOISER,
    **dict.fromkeys(("first_stage_model.", "vae."), "vae"),
    **dict.fromkeys(("cond_stage_model.", "conditioner.", "text_encoders."), "text_encoder"),
}

Weights = dict[str, dict[str, Tensor]]  # by part and by name, without bytes


def stored_weights(source: ModelSource) -> Weights:
    """Raises: ModelError for a file that cannot be read."""
    assert source.path is not None
    if source.kind == "diffusers":
        return weights_in_folder(source.path)
    in_file = weights_in_file(source.path)
    if holds_every_part(source.path):
        return in_file
    assert source.base is not None
    return {**weights_in_folder(source.base), **in_file}


def stored_dtype(source: ModelSource) -> str:
    """Of the denoiser's first tensor. Raises: ModelError where there is none that can be read."""
    assert source.path is not None
    files = [source.path] if source.kind != "diffusers" else [file for name in DENOISERS for file in part_files(source.path / name)]
    for path in files:
        names = {name: dtype for name, (_, dtype) in header(path).items()}
        of_denoiser = sorted(name for name in names if part_of(name) == DENOISER) or sorted(names)
        if of_denoiser:
            return DTYPES.get(names[of_denoiser[0]], "float32")
    raise ModelError(f"{source.name} has no denoiser's weights as safetensors", f"the files are in {source.path}")


def weights_in_folder(folder: Path) -> Weights:
    """Of the parts that the pipeline's index names."""
    index = diffusers.DiffusionPipeline.load_config(str(folder))
    parts: Weights = {}
    for name in (name for name, kind in index.items() if isinstance(kind, (list, tuple)) and kind[0]):
        files = part_files(folder / name)
        if files:
            parts[DENOISER if name in DENOISERS else name] = {key: weight for file in files for key, weight in without_bytes(file)}
    return parts


def part_files(folder: Path) -> list[Path]:
    """Empty for a part without weights, such as a tokenizer. Of several precisions the plain one."""
    for stem in STEMS:
        whole, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
        if whole.exists():
            return [whole]
        if index.exists():
            return [folder / name for name in sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))]
    return []


def weights_in_file(path: Path) -> Weights:
    """What belongs to no part, such as averages that a training kept, is not loaded, and left out."""
    weights = dict(without_bytes(path))
    parts: Weights = {}
    for name, weight in weights.items():
        if part := part_of(name):
            parts.setdefault(part, {})[name] = weight
    return parts if DENOISER in parts else {DENOISER: weights}


def part_of(name: str) -> str | None:
    return next((part for prefix, part in IN_ONE_FILE.items() if name.startswith(prefix)), None)


def without_bytes(path: Path) -> Iterator[tuple[str, Tensor]]:
    for name, (shape, _) in header(path).items():
        yield name, torch.empty(shape, device="meta")


def header(path: Path) -> dict[str, tuple[list[int], str]]:
    """Shapes and dtypes by name. Raises: ModelError."""
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
            return {name: (part.get_shape(), part.get_dtype()) for name, part in slices.items()}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read: {error}", "fetch it again") from error

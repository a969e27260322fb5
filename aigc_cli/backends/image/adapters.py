"""LoRA adapters of image models: files of diffusers, PEFT and kohya, put beside the weights, each with its share."""

from __future__ import annotations

import json
import logging
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging as diffusers_logging
from peft.tuners.tuners_utils import BaseTunerLayer

from aigc_cli.backends.image.components import check_is_there, read_tensors
from aigc_cli.backends.image.sizes import denoiser
from aigc_cli.backends.torch_load import reason
from aigc_cli.core.errors import ModelError

Tensors = dict[str, torch.Tensor]
FILE_NAMES = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")  # as diffusers and PEFT call them
PEFT_CONFIG = "adapter_config.json"
RUN_RECORD = "run.json"  # in the folder of aigc finetune
PEFT_PREFIX = "base_model.model."
DOWN = re.compile(r"(lora_A|lora_down|lora\.down|lokr_w1|lokr_w1_a)(\.default)?(\.weight)?$")  # one for every layer that is changed
PREFIXES = ("unet.", "transformer.", "text_encoder", "lora_", "diffusion_model.", "model.diffusion_model.")
MISMATCH = re.compile(r"size mismatch for (\S+): .*?torch\.Size\(\[([\d, ]+)\]\).*?torch\.Size\(\[([\d, ]+)\]\)")
HINT = "use it with a model of the family that it was trained on"


def load_adapters(pipe: Any, adapters: Sequence[tuple[Path, float]]) -> None:
    """Each adapts the pipeline in its share: 1 as it was trained, 0 not at all. Several add up.

    Raises: ModelError for a file that is none, or that does not fit this model as a whole.
    """
    if not hasattr(pipe, "load_lora_weights"):
        raise ModelError(f"a {family(pipe)} model takes no LoRA adapters here", "leave out --adapter")
    names = [f"adapter{index}" for index in range(len(adapters))]
    with silence():
        for name, (path, _) in zip(names, adapters, strict=True):
            load_adapter(pipe, adapter_file(path), name)
        pipe.set_adapters(names, [scale for _, scale in adapters])
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            follow_dtype(part)


@contextmanager
def silence() -> Iterator[None]:
    """What PEFT warns of is for those who train, and what diffusers logs is said here in one line."""
    verbosity = diffusers_logging.get_verbosity()
    diffusers_logging.set_verbosity(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        diffusers_logging.set_verbosity(verbosity)


def family(pipe: Any) -> str:
    return type(pipe).__name__.removesuffix("Pipeline")


def adapter_file(path: Path) -> Path:
    """The file itself, or the one in a folder. Raises: ModelError where there is none, or a choice."""
    check_is_there(path)
    if path.is_file():
        return path
    for name in FILE_NAMES:
        if (path / name).is_file():
            return path / name
    files = sorted(path.glob("*.safetensors"))
    if not files and (path / RUN_RECORD).exists():
        raise ModelError(f"{path} holds a run that has no result yet", f"finish it first: aigc finetune --resume -o {path}")
    if len(files) != 1:
        raise ModelError(f"{path} holds {len(files)} files that could be the adapter", "name the .safetensors file itself")
    return files[0]


def load_adapter(pipe: Any, file: Path, name: str) -> None:
    tensors = read_tensors(file)
    layers = [key for key in tensors if DOWN.search(key)]
    if not layers:
        raise ModelError(f"{file} holds no LoRA adapter", "a LoRA has tensors with names such as lora_A, lora_down or lora.down")
    try:
        if not any(key.startswith(PREFIXES) for key in tensors):
            pipe.load_lora_weights(with_prefix(pipe, tensors, file), adapter_name=name)
        elif file.suffix == ".safetensors":  # with what its header says of it
            folder = str(file.absolute().parent)
            pipe.load_lora_weights(folder, weight_name=file.name, adapter_name=name, use_safetensors=True, local_files_only=True)
        else:
            pipe.load_lora_weights(tensors, adapter_name=name)
    except ModelError:
        raise
    except Exception as error:  # what PEFT, torch and diffusers' converters raise for a file that does not fit
        raise misfit(pipe, file, fault(error)) from error
    missing = len(layers) - count_layers(pipe, name)
    if missing > 0:
        raise misfit(pipe, file, f"{missing} of its {len(layers)} layers have no counterpart there; its first is {layers[0]}")


def with_prefix(pipe: Any, tensors: Tensors, file: Path) -> Tensors:
    """PEFT's own files and the oldest of diffusers name the denoiser's layers without saying whose they are."""
    name = next(name for name, part in pipe.components.items() if part is denoiser(pipe))
    return {f"{name}.{key.removeprefix(PEFT_PREFIX)}": value for key, value in scaled(tensors, file).items()}


def scaled(tensors: Tensors, file: Path) -> Tensors:
    """With the scale of PEFT's config in the upper matrices: alpha / rank, or alpha / sqrt(rank) for rank-stabilised ones."""
    if not (file.parent / PEFT_CONFIG).is_file() or not any(".lora_A." in key for key in tensors):
        return tensors
    config = json.loads((file.parent / PEFT_CONFIG).read_text("utf-8"))
    if config.get("alpha_pattern") or config.get("use_dora"):
        raise ModelError(f"{file} has an alpha_pattern or DoRA, which is not read here", "train it with one alpha and without DoRA")
    scaled_tensors = dict(tensors)
    for key, value in tensors.items():
        if ".lora_B." in key:
            rank = value.shape[1]
            share = config["lora_alpha"] / (math.sqrt(rank) if config.get("use_rslora") else rank)
            scaled_tensors[key] = (value.float() * share).to(value.dtype)
    return scaled_tensors


def count_layers(pipe: Any, name: str) -> int:
    """How many layers of the pipeline's parts the adapter changes. Some of its file's layers are several there."""
    parts = [part for part in pipe.components.values() if isinstance(part, torch.nn.Module)]
    layers = [module for part in parts for module in part.modules() if isinstance(module, BaseTunerLayer)]
    return sum(any(name in getattr(layer, kind) for kind in layer.adapter_layer_names if hasattr(layer, kind)) for layer in layers)


def fault(error: Exception) -> str:
    """What does not fit, in words."""
    found = MISMATCH.search(str(error))
    if found is None:
        return reason(error)
    tensor, in_file, in_model = found.groups()
    return f"{tensor.partition('.lora_')[0]} is {in_file.replace(', ', ' x ')} in the file and {in_model.replace(', ', ' x ')} in the model"


def misfit(pipe: Any, file: Path, what: str) -> ModelError:
    return ModelError(f"the adapter {file} does not fit this {family(pipe)} model: {what}", HINT)


def follow_dtype(part: torch.nn.Module) -> None:
    """Adapters count in the numbers of the layer they stand beside: in others each step would convert to and fro."""
    for module in part.modules():
        if isinstance(module, BaseTunerLayer):
            weight: Any = module.get_base_layer().weight
            if weight.is_floating_point():
                for parameter in (parameter for key, parameter in module.named_parameters() if not key.startswith("base_layer.")):
                    parameter.data = parameter.data.to(weight.dtype)

"""Which weights of a pipeline are trained: all of its denoiser, or adapters in it, and of its text encoders too where that is asked."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from peft import LoraConfig
from torch import nn

from aigc_cli.backends.image.text_encoders import encoders
from aigc_cli.backends.torch_load import reason
from aigc_cli.backends.train.image.family import Family
from aigc_cli.backends.train.lora_linear import speed_up
from aigc_cli.backends.train.trainable import Trainable
from aigc_cli.core.errors import UsageError
from aigc_cli.core.finetune_image import ImageTuning

DENOISER = "denoiser"  # its name in the trained module; text encoders have the pipeline's
# Projections of attention, as diffusers' own training scripts choose them; those of the text in a transformer that reads both at once.
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
ATTENTION_OF_TEXT = ("q_proj", "k_proj", "v_proj", "out_proj")


def prepare(family: Family, tuning: ImageTuning, seed: int) -> Trainable:
    """Chooses the weights that will be trained, and freezes all others of the pipeline. seed: of new adapters.

    Raises: UsageError for target modules that match nothing, and for what diffusers could not load again.
    """
    parts = trained_parts(family, tuning)
    for part in family.pipeline.components.values():
        if isinstance(part, nn.Module):
            part.requires_grad_(False)
    mixes_dtypes = False
    if tuning.is_adapter:
        check_loads_adapters(family)
        targets = target_modules(parts, tuning.target_modules)
        for name, part in parts.items():
            add_adapter(part, targets[name], tuning, seed)
            mixes_dtypes |= not speed_up(part)
    else:
        for part in parts.values():
            part.requires_grad_(True)
    model = nn.ModuleDict(parts)
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    return Trainable(model, trained, tuning.is_adapter, mixes_dtypes=mixes_dtypes)


def trained_parts(family: Family, tuning: ImageTuning) -> dict[str, Any]:
    """By their names in the trained module. Raises: UsageError for a family whose text encoders are not trained."""
    parts: dict[str, Any] = {DENOISER: family.denoiser}
    if not tuning.train_text_encoder:
        return parts
    loadable = loadable_parts(family)
    trained = {name: encoder for name, encoder in encoders(family.pipeline).items() if name in loadable}
    if not trained:
        message = f"the text encoder of a {name_of(family)} model is not trained here"
        raise UsageError(message, "leave out --train-text-encoder: the denoiser learns alone")
    return parts | trained


def loadable_parts(family: Family) -> tuple[str, ...]:
    """Parts that diffusers knows adapters of; T5 and other language models are none of them."""
    return tuple(getattr(family.pipeline, "_lora_loadable_modules", ()))


def check_loads_adapters(family: Family) -> None:
    if not loadable_parts(family):
        raise UsageError(f"diffusers loads no LoRA into a {name_of(family)} model", "use --method full")


def name_of(family: Family) -> str:
    return type(family.pipeline).__name__.removesuffix("Pipeline")


def add_adapter(part: Any, targets: list[str], tuning: ImageTuning, seed: int) -> None:
    config = LoraConfig(
        r=tuning.lora_rank,
        lora_alpha=tuning.alpha,  # type: ignore[arg-type]  # peft divides it by r: a fraction is as good
        lora_dropout=tuning.lora_dropout,
        target_modules=targets,
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's are for programmers
        torch.manual_seed(seed)
        try:
            part.add_adapter(config)
        except ValueError as error:  # as for a grouped convolution
            raise UsageError(f"--method lora does not suit these matrices: {reason(error)}", "name other --target-modules") from error


def target_modules(parts: Mapping[str, nn.Module], names: str) -> dict[str, list[str]]:
    """Names of the matrices of each part that get an adapter, whole ones, so that nothing else ends alike.

    names: "auto", "all-linear", or names joined by commas, whole or the last part, also of convolutions.
    Raises: UsageError for a name that matches nothing, and for a part that gets none.
    """
    if names == "all-linear":
        return {name: [inner for inner, module in part.named_modules() if isinstance(module, nn.Linear)] for name, part in parts.items()}
    there = {name: matrix_names(part) for name, part in parts.items()}
    if names == "auto":
        usual = {name: ATTENTION if name == DENOISER else ATTENTION_OF_TEXT for name in parts}
        return {name: [matrix for matrix in matrices if ends_with(matrix, usual[name])] for name, matrices in there.items()}
    wanted = tuple(name.strip() for name in names.split(",") if name.strip())
    check_names(wanted, [matrix for matrices in there.values() for matrix in matrices])
    targets = {name: [matrix for matrix in matrices if ends_with(matrix, wanted)] for name, matrices in there.items()}
    for name, found in targets.items():
        if not found:
            raise UsageError(f"--target-modules: {names} is nothing in the {name}", f"there is: {', '.join(kinds_of(there[name]))}")
    return targets


def check_names(wanted: tuple[str, ...], matrices: list[str]) -> None:
    kinds = kinds_of(matrices)
    if not wanted:
        raise UsageError("--target-modules names nothing", f"there is: {', '.join(kinds)}")
    for name in wanted:
        if not any(ends_with(matrix, (name,)) for matrix in matrices):
            near = difflib.get_close_matches(name, kinds, n=1)
            hint = f"there is: {', '.join(kinds)}" + (f"; did you mean {near[0]}?" if near else "")
            raise UsageError(f"--target-modules: no matrix of this model is called {name!r}", hint)


def ends_with(matrix: str, names: tuple[str, ...]) -> bool:
    return any(matrix == name or matrix.endswith(f".{name}") for name in names)


def matrix_names(part: nn.Module) -> list[str]:
    return [name for name, module in part.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]


def kinds_of(matrices: list[str]) -> list[str]:
    """Their own names, with the name before a number."""
    return sorted({re.sub(r".*?([^.]+(\.\d+)*)$", r"\1", matrix) for matrix in matrices})

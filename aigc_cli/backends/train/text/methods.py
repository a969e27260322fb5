"""Which weights are trained: all, some layers, or adapters beside frozen ones."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.utils.transformers_weight_conversion import convert_peft_config_for_transformers
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from aigc_cli.backends.adapters import PREFIX, WEIGHTS, differences, misfit
from aigc_cli.backends.torch_load import reason
from aigc_cli.backends.train.lora_linear import speed_up
from aigc_cli.backends.train.trainable import Trainable
from aigc_cli.core.errors import ModelError, UsageError
from aigc_cli.core.finetune import Tuning

EVERY_MATRIX = ("auto", "all-linear")


def prepare(model: Any, tuning: Tuning, seed: int, continue_from: Path | None = None) -> Trainable:
    """Chooses the weights of a loaded model that will be trained.

    continue_from: an adapter's folder to go on from.
    Raises: UsageError where layers or target modules match nothing.
    """
    peft, mixes_dtypes = None, False
    passed_over: tuple[str, ...] = ()
    if tuning.is_adapter:
        if tuning.target_modules in EVERY_MATRIX and not continue_from:
            passed_over = tuple(names_of_experts(model))
        peft = add_adapter(model, tuning, seed, continue_from)
        mixes_dtypes = not speed_up(model)
    elif tuning.method == "freeze":
        freeze(model, tuning)
    else:
        model.requires_grad_(True)
    parameters = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    return Trainable(model, parameters, tuning.is_adapter, peft, mixes_dtypes, passed_over)


def freeze(model: Any, tuning: Tuning) -> None:
    """Trains the layers of --train-layers alone, or all but those of --freeze-layers.

    What is left by the latter goes along: the embeddings with the first layer, the rest with the last.
    """
    layers = decoder_layers(model)
    named = layer_numbers(tuning.train_layers or tuning.freeze_layers or "", len(layers))
    trained = named if tuning.train_layers else set(range(len(layers))) - named
    if not trained:
        raise UsageError("--freeze-layers leaves nothing to train", f"the model has layers 0 to {len(layers) - 1}")
    model.requires_grad_(bool(tuning.freeze_layers) and len(layers) - 1 in trained)
    model.get_input_embeddings().requires_grad_(bool(tuning.freeze_layers) and 0 in trained)
    for number, layer in enumerate(layers):
        layer.requires_grad_(number in trained)


def decoder_layers(model: Any) -> Sequence[nn.Module]:
    """The longest list of modules: the stack of layers, whatever a family calls it."""
    stacks = [list(module) for module in model.modules() if isinstance(module, nn.ModuleList)]
    return max(stacks, key=len)


def layer_numbers(text: str, count: int) -> set[int]:
    """ "first:2", "last:2", "0,3-5" -> numbers below count. Raises: UsageError for one that is not there."""
    side, _, number = text.partition(":")
    if number:
        wanted = set(range(int(number)) if side == "first" else range(count - int(number), count))
    else:
        pairs = [part.partition("-") for part in text.split(",")]
        wanted = {n for first, _, last in pairs for n in range(int(first), int(last or first) + 1)}
    if not wanted or min(wanted) < 0 or max(wanted) >= count:
        raise UsageError(f"{text!r} names layers that the model does not have", f"it has {count}: 0 to {count - 1}")
    return wanted


def add_adapter(model: Any, tuning: Tuning, seed: int, continue_from: Path | None) -> Any:
    """peft's model around `model`, whose layers are changed in place.

    Raises: UsageError for what peft cannot do with this model, ModelError for an earlier adapter that does not fit.
    """
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's are for programmers
        torch.manual_seed(seed)
        if continue_from:
            return earlier_adapter(model, continue_from)
        config = LoraConfig(
            task_type="CAUSAL_LM",
            r=tuning.lora_rank,
            lora_alpha=tuning.alpha,  # type: ignore[arg-type]  # peft divides it by r: a fraction is as good
            lora_dropout=tuning.lora_dropout,
            target_modules=target_modules(model, tuning.target_modules),
            use_dora=tuning.method == "dora",
        )
        try:
            return get_peft_model(model, config)
        except ValueError as error:  # as for some matrices of Mamba
            message = f"--method {tuning.method} does not suit this model: {reason(error)}"
            raise UsageError(message, "name other --target-modules") from error


def earlier_adapter(model: Any, folder: Path) -> Any:
    try:
        config = LoraConfig.from_pretrained(str(folder))
        config.inference_mode = False
        peft = get_peft_model(model, config)
        stored = load_file(folder / WEIGHTS)
        expected = get_peft_model_state_dict(peft, save_embedding_layers=False)  # else peft asks the Hub
        if faults := differences({name.removeprefix(PREFIX): tensor for name, tensor in stored.items()}, expected):
            raise misfit(folder, model, faults)
        set_peft_model_state_dict(peft, stored)
    except (KeyError, TypeError, ValueError, RuntimeError, OSError, SafetensorError) as error:  # for a file that is odd
        raise ModelError(f"the adapter {folder} cannot be loaded: {reason(error)}", "train it again, or restore its files") from error
    return peft


def target_modules(model: Any, names: str) -> list[str]:
    """Names of the matrices that get an adapter, as peft's config wants them.

    "auto" and "all-linear" are every linear layer but the head: adapters on all of them learn as full training does
    ("LoRA Without Regret", 2025). Names may be whole or the last part, as in "q_proj,v_proj".
    Raises: UsageError for a name that matches nothing or is taken for experts, with those that are there.
    """
    matrices, experts = matrix_names(model), names_of_experts(model)
    kinds = [kind for kind in kinds_of(matrices) if kind not in experts]
    if names in EVERY_MATRIX:
        return kinds
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if not any(matrix == name or matrix.endswith(f".{name}") for matrix in matrices):
            near = difflib.get_close_matches(name, kinds, n=1)
            hint = f"there is: {', '.join(kinds)}" + (f"; did you mean {near[0]}?" if near else "")
            raise UsageError(f"--target-modules: no matrix of this model is called {name!r}", hint)
        if last_part(name) in experts:
            message = f"--target-modules: peft takes {name!r} for this model's experts, whose adapters cannot be merged into it"
            raise UsageError(message, f"there is: {', '.join(kinds)}")
    if not wanted:
        raise UsageError("--target-modules names nothing", f"there is: {', '.join(kinds)}")
    return wanted


def names_of_experts(model: Any) -> list[str]:
    """Last parts of the names of matrices which, in this family, peft takes for the experts that transformers keeps as one tensor.

    It goes by the names alone: the shared experts and dense layers of such a model bear them.
    """
    kinds = kinds_of(matrix_names(model))
    config = LoraConfig(target_modules=kinds)
    convert_peft_config_for_transformers(config, model, None)
    return sorted(set(kinds) - set(config.target_modules or ()))


def matrix_names(model: Any) -> list[str]:
    """All but the head."""
    head = model.get_output_embeddings()
    return [name for name, module in model.named_modules() if is_matrix(module) and module is not head]


def kinds_of(matrices: Sequence[str]) -> list[str]:
    return sorted({last_part(name) for name in matrices})


def is_matrix(module: nn.Module) -> bool:
    """Also bitsandbytes' quantised layers, which are nn.Linear."""
    return isinstance(module, nn.Linear | Conv1D)


def last_part(name: str) -> str:
    """The module's own name; a number, as in a list of experts, keeps the name before it."""
    parts = name.split(".")
    return ".".join(parts[-2:]) if re.fullmatch(r"\d+", parts[-1]) and len(parts) > 1 else parts[-1]

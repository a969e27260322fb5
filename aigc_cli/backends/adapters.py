"""LoRA adapters, merged into a model's weights as it is loaded: decoding is then as fast as without.

What an adapter changes is taken relative to the base, times its scale, and several add up:
W = W0 + sum_i scale_i * (W_i - W0). Computed layer by layer in float32 and rounded once.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer, cast_adapter_dtype, check_target_module_exists
from peft.utils.other import ModulesToSaveWrapper
from safetensors.torch import load_file
from torch import Tensor, nn

from aigc_cli.backends.torch_load import reason
from aigc_cli.core.errors import ModelError

WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."  # what PEFT puts before the names of the model's own modules
NAMES_SHOWN = 3


def merge_adapters(model: nn.Module, adapters: Sequence[tuple[Path, float]], dtype: torch.dtype | None = None) -> None:
    """Merges the adapters in these folders into the model, in place.

    dtype: of the weights that change; None leaves each as it is.
    Raises: ModelError for an adapter that does not fit this model.
    """
    scales = {f"adapter{index}": scale for index, (_, scale) in enumerate(adapters)}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # PEFT's are for those who train; what matters here is checked
        for name, (folder, _) in zip(scales, adapters, strict=True):
            try:
                attach(model, folder, name)
            except (KeyError, TypeError, ValueError, RuntimeError) as error:  # what PEFT and torch raise for a file that is odd
                message = f"the adapter {folder} cannot be loaded: {reason(error)}"
                raise ModelError(message, "train it again, or fetch its files again") from error
        for path, module in list(model.named_modules()):
            if isinstance(module, LoraLayer):
                replace(model, path, merged_lora(module, scales, untied(model, module.get_base_layer()), dtype))
            elif isinstance(module, ModulesToSaveWrapper):
                replace(model, path, merged_copy(module, scales, untied(model, module.original_module), dtype))
    del model.peft_config
    follow_ties(model)


def attach(model: nn.Module, folder: Path, name: str) -> None:
    """Puts an adapter beside the weights. Raises: ModelError naming what does not fit."""
    config = LoraConfig.from_pretrained(str(folder))
    config.inference_mode = True
    try:
        inject_adapter_in_model(config, model, adapter_name=name)
    except ValueError as error:
        if any(check_target_module_exists(config, path) for path, _ in model.named_modules()):
            raise
        raise misfit(folder, model, [f"it wants {listed(module_names(config.target_modules))}, and there is no such module"]) from error
    cast_adapter_dtype(model, adapter_name=name)  # to float32: the base may be in 16 bits
    tensors = {key.removeprefix(PREFIX): tensor for key, tensor in load_file(folder / WEIGHTS).items()}
    tensors = without_copies(tensors, model)
    expected = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    if faults := differences(tensors, expected):
        raise misfit(folder, model, faults)
    set_peft_model_state_dict(model, tensors, adapter_name=name)


def without_copies(tensors: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """An adapter of the embedding brings a copy of the base's own, which says nothing new unless it differs."""
    weights = model.state_dict()

    def is_copy(key: str) -> bool:
        same = weights.get(key)
        return same is not None and same.shape == tensors[key].shape and torch.allclose(same.float(), tensors[key].float(), rtol=1e-2)

    return {key: tensor for key, tensor in tensors.items() if not is_copy(key)}


def differences(tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> list[str]:
    """What an adapter's file has that the model has no place for, lacks, or has in another shape."""
    expected = {key.removeprefix(PREFIX): tensor for key, tensor in expected.items()}
    alien, missing = sorted(tensors.keys() - expected.keys()), sorted(expected.keys() - tensors.keys())
    faults = [f"{len(alien)} of its tensors have no place there: {listed(alien)}"] if alien else []
    faults += [f"it lacks {len(missing)} tensors that its config announces: {listed(missing)}"] if missing else []
    for key in sorted(tensors.keys() & expected.keys()):
        if tensors[key].shape != expected[key].shape:
            faults.append(f"{key} is {tuple(tensors[key].shape)} in the adapter and {tuple(expected[key].shape)} by the model")
            break
    return faults


def misfit(folder: Path, model: nn.Module, faults: list[str]) -> ModelError:
    kind = type(model).__name__
    return ModelError(f"the adapter {folder} does not fit this {kind}: {'; '.join(faults)}", "use it with the model it was trained on")


def module_names(targets: Any) -> list[str]:
    return [targets] if isinstance(targets, str) else sorted(targets or [])


def listed(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + (" ..." if len(names) > NAMES_SHOWN else "")


def merged_lora(layer: LoraLayer, scales: dict[str, float], base: nn.Module, dtype: torch.dtype | None) -> nn.Module:
    """The layer below, with the change of every adapter in its weight, and in its bias where one was trained."""
    dtypes = {name: dtype or parameter.dtype for name, parameter in base.named_parameters()}
    before = {name: parameter.data.float() for name, parameter in base.named_parameters()}
    total = {name: value.clone() for name, value in before.items()}
    layer.base_layer = base
    for adapter, scale in scales.items():
        if adapter not in layer.lora_A and adapter not in layer.lora_embedding_A:
            continue
        for name, parameter in base.named_parameters():
            parameter.data = before[name].clone()
        layer.merge(adapter_names=[adapter])
        layer.merged_adapters.clear()
        for name, parameter in base.named_parameters():
            total[name] += scale * (parameter.data - before[name])
    for name, parameter in base.named_parameters():
        parameter.data = total[name].to(dtypes[name])
    return base


def merged_copy(wrapper: ModulesToSaveWrapper, scales: dict[str, float], base: nn.Module, dtype: torch.dtype | None) -> nn.Module:
    """A module that was trained as a whole."""
    for name, parameter in base.named_parameters():
        before = parameter.data.float()
        change = torch.zeros_like(before)
        for adapter, scale in scales.items():
            if adapter in wrapper.modules_to_save:
                change += scale * (wrapper.modules_to_save[adapter].get_parameter(name).data.float() - before)
        parameter.data = (before + change).to(dtype or parameter.dtype)
    return base


def untied(model: nn.Module, module: nn.Module) -> nn.Module:
    """The module, with a weight of its own: an adapter of the embedding must not change the head that shares its weight."""
    weight = getattr(module, "weight", None)
    layers = (other for other in model.modules() if not isinstance(other, BaseTunerLayer))  # peft's show the weight of the one within
    if weight is not None and sum(getattr(other, "weight", None) is weight for other in layers) > 1:
        module.weight = nn.Parameter(weight.data.clone(), requires_grad=False)
    return module


def follow_ties(model: Any) -> None:
    """Says in the config whether head and embedding still share a weight, so that saving keeps both."""
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    if head is not None and embedding is not None and head.weight is not embedding.weight:
        model.config.get_text_config(decoder=True).tie_word_embeddings = False
        model.config.tie_word_embeddings = False


def replace(model: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, module)

"""The result of a run: a LoRA file or a whole pipeline, as diffusers itself reads them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import torch
from peft import get_peft_model_state_dict
from torch import Tensor

from aigc_cli.backends.image.load import be_quiet, read
from aigc_cli.backends.image.sizes import denoiser
from aigc_cli.backends.torch_load import reason
from aigc_cli.backends.train.image.family import Family
from aigc_cli.backends.train.image.methods import DENOISER
from aigc_cli.backends.train.master_weights import MasterWeights
from aigc_cli.backends.train.trainable import Trainable
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import ModelError
from aigc_cli.core.finetune_image import ImageFinetuneRequest, ImageTuning

CLIP_PREFIX = "text_model."  # before the names of CLIP's layers in files, though not in transformers' newer models
OWN_PATH = "_name_or_path"  # where a part came from, in the configs that diffusers writes


def write_result(
    folder: Path,
    family: Family,
    trainable: Trainable,
    masters: MasterWeights,
    source: ModelSource,
    *,
    dtype: str,
    request: ImageFinetuneRequest,
) -> None:
    """Adapters in float32; or the whole pipeline in `dtype`, that of the base, all that was not trained as the base has it.

    Raises: OSError, as from a full disk; ModelError where the base is not there any more.
    """
    if trainable.is_adapter:
        write_adapter(folder, family, trainable, request.tuning)
    else:
        write_pipeline(folder, family, masters, source, getattr(torch, dtype), is_new=bool(request.tuning.from_scratch))
    about = {"kind": "image", "base": source.name, "revision": source.revision}
    (folder / "aigc.json").write_text(json.dumps(about), "utf-8")


def write_adapter(folder: Path, family: Family, trainable: Trainable, tuning: ImageTuning) -> None:
    """The scale, alpha / rank, goes into the upper matrices, for not every program that reads such files looks for an alpha."""
    scale = tuning.alpha / tuning.lora_rank
    options: dict[str, Any] = {}
    for name, part in trainable.model.items():
        own_name = name_in_pipeline(family, name)
        tensors = {key: upscaled(key, value, scale) for key, value in get_peft_model_state_dict(part).items()}
        prefix = CLIP_PREFIX if name != DENOISER and not hasattr(part, "text_model") else ""
        options[f"{own_name}_lora_layers"] = {prefix + key: value for key, value in tensors.items()}
        options[f"{own_name}_lora_adapter_metadata"] = {
            "r": tuning.lora_rank,
            "lora_alpha": tuning.lora_rank,
            "target_modules": sorted({key.partition(".lora_")[0] for key in tensors}),
        }
    family.pipeline.save_lora_weights(folder, **options)


def name_in_pipeline(family: Family, name: str) -> str:
    if name != DENOISER:
        return name
    parts: dict[str, Any] = family.pipeline.components
    return next(own for own, part in parts.items() if part is family.denoiser)


def upscaled(name: str, value: Tensor, scale: float) -> Tensor:
    value = value.detach().float().cpu()
    return (value * scale if ".lora_B." in name else value).contiguous()


def write_pipeline(folder: Path, family: Family, masters: MasterWeights, source: ModelSource, dtype: torch.dtype, *, is_new: bool) -> None:
    """Read from the base once more, for in memory its other parts may have fewer digits. is_new: there is no base."""
    pipeline = copy.deepcopy(family.pipeline).to("cpu", dtype) if is_new else read_again(source, dtype)
    with torch.no_grad():
        for name, weight in masters.weights.items():
            part_name, _, inner = name.partition(".")
            part = denoiser(pipeline) if part_name == DENOISER else getattr(pipeline, part_name)
            part.get_parameter(inner).copy_(weight)
    pipeline.save_pretrained(folder)
    for path in (folder / "model_index.json", *folder.glob("*/*config.json")):
        forget_origin(path)


def read_again(source: ModelSource, dtype: torch.dtype) -> Any:
    be_quiet()
    try:
        return read(source, dtype)
    except Exception as error:  # diffusers and transformers raise almost anything
        message = f"{source.name} cannot be read any more, of which the result's other parts are taken: {reason(error)}"
        raise ModelError(message, "put it back, and run the same command again: it goes on from its last checkpoint") from error


def forget_origin(path: Path) -> None:
    """A config that is published need not tell the folders of this machine."""
    config: dict[str, Any] = json.loads(path.read_text("utf-8"))
    if config.pop(OWN_PATH, None) is not None:
        path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", "utf-8")

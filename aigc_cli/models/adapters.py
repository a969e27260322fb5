"""Is this folder an adapter that can be loaded? Looked at before anything slow happens, as models are.

Reads the config and the header of the weights; imports no engine.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import ModelError, UsageError
from aigc_cli.models.check import ADAPTER_CONFIG, CONFIG, CONVERT, PICKLES, PIPELINE_INDEX, files_with, read_header, read_json
from aigc_cli.models.usage import USAGE, read_mode, read_revision

ADAPTER_WEIGHTS = "adapter_model.safetensors"
IMAGE_ADAPTER_WEIGHTS = "pytorch_lora_weights.safetensors"  # as diffusers calls them
RUN_RECORD = "run.json"
UNMERGEABLE = ("layer_replication", "trainable_token_indices", "target_parameters", "alora_invocation_tokens")


@dataclass(frozen=True)
class Adapter:
    """A LoRA in a folder. base: the model it says it was trained on, and its revision.  mode: what it was trained for, where it says so."""

    path: Path
    scale: float = 1.0
    base: str | None = None
    mode: Literal["chat", "raw"] | None = None
    revision: str | None = None


def find_adapter(text: str) -> Adapter:
    """PATH[:SCALE] -> the adapter there.

    Raises: UsageError for a scale that is no number, ModelError for a folder that holds no LoRA that can be loaded.
    """
    path, scale = split_scale(text)
    return check_adapter(path, scale)


def split_scale(text: str) -> tuple[Path, float]:
    """A colon that belongs to the path is left in it: in C:\\mine, and in a name that is there as it stands."""
    whole = Path(text).expanduser()
    name, colon, scale = text.rpartition(":")
    is_drive = os.name == "nt" and len(name) == 1
    if not (colon and name) or is_drive or whole.exists():
        return whole, 1.0
    path = Path(name).expanduser()
    try:
        number = float(scale)
    except ValueError:
        if not path.exists():
            return whole, 1.0
        number = math.nan
    if not math.isfinite(number):
        raise UsageError(f"--adapter {text}: the scale after the colon is not a number", f"for example --adapter {name}:0.5")
    return path, number


def check_adapter(path: Path, scale: float = 1.0) -> Adapter:
    """Raises: ModelError."""
    folder = path.parent if path.name == ADAPTER_WEIGHTS and path.is_file() else path
    if not folder.exists():
        raise ModelError(f"there is no adapter {path}", "check the path after --adapter")
    if not folder.is_dir():
        raise ModelError(f"{path} is a file, not the folder of an adapter", f"name the folder that holds {ADAPTER_CONFIG}")
    if not (folder / ADAPTER_CONFIG).exists():
        raise not_an_adapter(folder)
    config = read_json(folder / ADAPTER_CONFIG)
    check_kind(folder, config)
    if not (folder / ADAPTER_WEIGHTS).exists():
        pickles = files_with(folder, PICKLES)
        if pickles:
            raise ModelError(f"{folder} has its weights only as a pickle: {pickles[0].name}", CONVERT)
        raise ModelError(f"{folder} has no weights", f"an adapter's weights are in {ADAPTER_WEIGHTS}")
    read_header(folder / ADAPTER_WEIGHTS)
    base = config.get("base_model_name_or_path")
    return Adapter(folder, scale, base if isinstance(base, str) and base else None, read_mode(folder), read_revision(folder))


def image_adapter(folder: Path) -> Adapter | None:
    """The adapter of an image model that a folder holds, as diffusers and `aigc finetune --image` write it. Raises: ModelError."""
    if not (folder / IMAGE_ADAPTER_WEIGHTS).is_file() or (folder / PIPELINE_INDEX).exists():
        return None
    read_header(folder / IMAGE_ADAPTER_WEIGHTS)
    about = read_json(folder / USAGE) if (folder / USAGE).is_file() else {}
    base = about.get("base")
    return Adapter(folder, base=base if isinstance(base, str) else None, revision=read_revision(folder))


def not_an_adapter(folder: Path) -> ModelError:
    if (folder / IMAGE_ADAPTER_WEIGHTS).exists():
        return ModelError(f"{folder} is an adapter of an image model", f'it draws: aigc image -m MODEL --adapter {folder} "..."')
    if (folder / CONFIG).exists():
        return ModelError(f"{folder} is no adapter but a whole model", f"use it by itself: -m {folder}")
    if (folder / RUN_RECORD).exists():
        return ModelError(f"{folder} holds a run that has no result yet", f"finish it first: aigc finetune --resume -o {folder}")
    return ModelError(f"{folder} holds no adapter: it has no {ADAPTER_CONFIG}", "name a folder of aigc finetune, or of PEFT")


def check_kind(folder: Path, config: dict[str, Any]) -> None:
    """Raises: ModelError for what is no LoRA, or one with parts that cannot be merged into the weights."""
    kind = config.get("peft_type")
    if kind != "LORA":
        raise ModelError(f"{folder} is an adapter of the type {kind}", "aigc takes LoRA, also as DoRA and rank-stabilised")
    if unknown := [name for name in UNMERGEABLE if config.get(name)]:
        raise ModelError(f"{folder} is a LoRA with {unknown[0]}, which aigc cannot merge", "train it without, or use PEFT itself")


def is_trained_on(adapter: Adapter, source: ModelSource) -> bool:
    """Whether the name of its base is that of the model, as far as names can tell; True where it has none."""
    if adapter.base is None:
        return True
    return short_name(adapter.base) in {short_name(source.name), *(short_name(part) for part in (source.path.parts if source.path else ()))}


def short_name(name: str) -> str:
    """`Org/Name@revision`, `/path/to/Name`, the cache's `models--Org--Name` -> "name"."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    return last.partition("@")[0].rpartition("--")[2].removeprefix("builtin:").casefold()

"""`aigc finetune --continue`: what goes on as it was, and what may be asked for anew."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aigc_cli.core.errors import UsageError
from aigc_cli.core.finetune import FinetuneRequest, Tuning
from aigc_cli.core.finetune_image import ImageFinetuneRequest
from aigc_cli.store.run_record import read_record, recorded_request

SETTLED = ("lora_rank", "lora_alpha", "lora_dropout", "target_modules")  # an adapter's shape, and what its config says
SAME_ADAPTER = {"lora": ("lora", "qlora"), "qlora": ("lora", "qlora"), "dora": ("dora",)}  # qlora differs in the base alone
LAYERS = ("freeze_layers", "train_layers")


def continued(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The options asked for, completed by those of the earlier run.

    Raises: UsageError for a run that is not finished, and for an option that its result cannot follow.
    """
    folder = Path(asked["continue"])
    if read_record(folder).status != "complete":
        raise UsageError(f"the run in {folder} is not finished", f"finish it first: aigc finetune --resume -o {folder}")
    earlier = recorded_request(folder)
    if isinstance(earlier, ImageFinetuneRequest):
        hint = f"begin a new run with -m {earlier.model if earlier.tuning.is_adapter else folder} --image"
        raise UsageError(f"the run in {folder} learnt from pictures, where --continue does not go on", hint)
    taken = adapter_options if earlier.tuning.is_adapter else whole_model_options
    return {**taken(folder, earlier, asked), **asked}


def adapter_options(folder: Path, earlier: FinetuneRequest, asked: Mapping[str, Any]) -> dict[str, Any]:
    before = earlier.tuning
    method = asked.get("method", before.method)
    if method not in SAME_ADAPTER[before.method]:
        hint = "leave out --method"
        if method in ("full", "freeze"):
            hint += f", or make a whole model of it first: aigc export {folder} --to merged -o OUT, then -m OUT"
        raise UsageError(f"{folder} holds a {before.method} adapter, which --method {method} cannot go on from", hint)
    settled = {name: before.alpha if name == "lora_alpha" else getattr(before, name) for name in SETTLED}
    for name, value in settled.items():
        if asked.get(name, value) != value:
            flag = f"--{name.replace('_', '-')}"
            message = f"{flag} {asked[name]} contradicts --continue: the adapter in {folder} was made with {value}"
            raise UsageError(message, f"leave out {flag}, or begin a new adapter without --continue")
    return {"model": earlier.model, "method": before.method, **settled}


def whole_model_options(folder: Path, earlier: FinetuneRequest, asked: Mapping[str, Any]) -> dict[str, Any]:
    before = earlier.tuning
    method = asked.get("method", before.method)
    if method not in ("full", "freeze"):
        message = f"{folder} holds a whole model, and --continue trains it as such, not with --method {method}"
        raise UsageError(message, f"an adapter beside it begins with: -m {folder} --method {method}")
    if asked.get("model", earlier.model) != earlier.model:
        raise UsageError(f"-m {asked['model']} contradicts --continue: {folder} is a whole model itself", "leave out one of the two")
    return {"model": earlier.model, "method": method, **(layers_of(before) if chooses_no_layers(asked, method) else {})}


def chooses_no_layers(asked: Mapping[str, Any], method: str) -> bool:
    return method == "freeze" and not any(name in asked for name in LAYERS)


def layers_of(before: Tuning) -> dict[str, Any]:
    return {name: getattr(before, name) for name in LAYERS if getattr(before, name)}

"""From the options of `aigc finetune`, by their names, to a request: for texts, and with --image for pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args

from aigc_cli.core.errors import UsageError
from aigc_cli.core.finetune import ADAPTER_METHODS, DataChoice, FinetuneRequest, Optimization, Pace, Proof, Tuning
from aigc_cli.core.finetune_image import Diffusion, ImageFinetuneRequest, ImageMethod, ImageProof, ImageTuning, PictureChoice
from aigc_cli.core.training_request import TrainingRequest

TEXT_GROUPS = {"data": DataChoice, "tuning": Tuning, "optimization": Optimization, "pace": Pace, "proof": Proof}
IMAGE_GROUPS = {
    "data": PictureChoice, "tuning": ImageTuning, "diffusion": Diffusion, "optimization": Optimization, "pace": Pace, "proof": ImageProof,
}  # fmt: skip
FIELDS = {"data": "paths", "continue": "continue_from"}  # of options that are called otherwise
FLAGS = {"metrics": "--metric", "sample_prompts": "--sample-prompt", "continue_from": "--continue"}
MODES = {"raw": "--raw", "chat": "--instruct"}


def make_request(values: Mapping[str, Any], model: str, *, image: bool) -> TrainingRequest:
    """Raises: UsageError naming the option that is out of range, contradicts another, or would have no effect."""
    renamed = {"paths": (), **by_field(values)}  # that there are none is for the request to say
    refuse_other_kind(renamed, image)
    (refuse_without_effect_on_pictures if image else refuse_without_effect)(renamed)
    if renamed.get("from_scratch"):
        renamed = {"method": "full", **renamed}  # new weights are all trained, so there the method need not be named
    kinds: Mapping[str, Any] = IMAGE_GROUPS if image else TEXT_GROUPS
    made = {name: group(**fields_of(group, renamed)) for name, group in kinds.items()}
    kind = ImageFinetuneRequest if image else FinetuneRequest
    return kind(model=model, seed=renamed.get("seed", 0), **made)


def changed_request(request: TrainingRequest, values: Mapping[str, Any]) -> TrainingRequest:
    """A recorded request with the options given today laid over it.

    Raises: UsageError for one that is out of range, or of training on something else.
    """
    renamed = by_field(values)
    refuse_other_kind(renamed, isinstance(request, ImageFinetuneRequest))
    groups: dict[str, Any] = {
        field.name: dataclasses.replace(group, **fields_of(group, renamed))
        for field in dataclasses.fields(request)
        if dataclasses.is_dataclass(group := getattr(request, field.name)) and not isinstance(group, type)
    }
    own = {name: renamed.get(name, getattr(request, name)) for name in ("model", "seed")}
    return dataclasses.replace(request, **groups, **own)


def by_field(values: Mapping[str, Any]) -> dict[str, Any]:
    return {FIELDS.get(name, name): value for name, value in values.items()}


def fields_of(group: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that are fields of this part of a request. group: its class, or one of it."""
    return {field.name: values[field.name] for field in dataclasses.fields(group) if values.get(field.name) is not None}


def field_names(groups: Mapping[str, Any]) -> set[str]:
    return {field.name for group in groups.values() for field in dataclasses.fields(group)}


OF_PICTURES = field_names(IMAGE_GROUPS) - field_names(TEXT_GROUPS)
OF_TEXTS = field_names(TEXT_GROUPS) - field_names(IMAGE_GROUPS) | {"label_smoothing"}


def refuse_other_kind(values: Mapping[str, Any], image: bool) -> None:
    """Raises: UsageError for an option that training on texts has and on pictures not, or the reverse."""
    for name, value in values.items():
        if image and name in OF_TEXTS:
            flag = MODES[value] if name == "mode" else flag_of(name)
            raise UsageError(f"{flag} is for texts, and --image trains on pictures", "leave it out")
        if not image and name in OF_PICTURES:
            raise UsageError(f"{flag_of(name)} is for pictures", "to train on pictures add --image, else leave it out")
    methods = get_args(ImageMethod)
    if image and values.get("method", "lora") not in methods:
        message = f"--method {values['method']} is for texts: pictures are learnt with {' or '.join(methods)}"
        raise UsageError(message, "leave out --method, or choose another")


def flag_of(name: str) -> str:
    return FLAGS.get(name, f"--{name.replace('_', '-')}")


def refuse_without_effect(values: Mapping[str, Any]) -> None:
    """Raises: UsageError for an option that is named and that the others leave without a meaning."""
    refuse_idle(values, ADAPTER_METHODS, (("metric_samples",), bool(values.get("metrics")), "--metric"))


def refuse_without_effect_on_pictures(values: Mapping[str, Any]) -> None:
    """Raises: as `refuse_without_effect`."""
    prompts, samples = values.get("sample_prompts"), values.get("samples")
    if prompts and samples:
        raise UsageError("--samples and --sample-prompt contradict each other", "leave out one: captions are drawn, or these prompts")
    draws = bool(prompts) or samples != 0
    refuse_idle(values, ("lora",), (("sample_steps", "sample_seed"), draws, "--sample-prompt or --samples"))


def refuse_idle(values: Mapping[str, Any], adapters: tuple[str, ...], *more: tuple[tuple[str, ...], bool, str]) -> None:
    """adapters: methods that make some.  more: options, whether they are used, and what they belong to."""
    method = values.get("method", "full" if values.get("from_scratch") else "lora")
    listed = f"{', '.join(adapters[:-1])} or {adapters[-1]}" if len(adapters) > 1 else adapters[0]
    for names, is_used, wanted in (
        (("lora_rank", "lora_alpha", "lora_dropout", "target_modules"), method in adapters, f"--method {listed}"),
        (("decay",), values.get("schedule") == "wsd", "--schedule wsd"),
        *more,
        (("early_stopping_patience", "eval_steps"), keeps_back(values), "--val-split or --validation"),
    ):
        idle = [flag_of(name) for name in names if name in values]
        if idle and not is_used:
            raise UsageError(f"{idle[0]} belongs to {wanted}", f"leave it out, or add {wanted}")


def keeps_back(values: Mapping[str, Any]) -> bool:
    """Whether there is something to measure on."""
    return values.get("val_split") != 0 or "validation" in values

"""Refuses a pipeline that is too large for memory before its weights are read, by what the headers of its files say of them.

What a picture takes while it is learnt is not known yet: a run that passes here may still be refused, see footprint.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from aigc_cli.backends.device import Placement, choose
from aigc_cli.backends.train.image.blueprint import Blueprint
from aigc_cli.backends.train.image.buckets import Shape
from aigc_cli.backends.train.image.footprint import RUNTIME, Activations, Case, count_weights
from aigc_cli.backends.train.image.loading import Base, loaded_dtype
from aigc_cli.backends.train.image.stored_weights import DENOISER, Weights, stored_weights
from aigc_cli.backends.train.misfit import NUMBER_BYTES, changes_to_fit, check_memory, memory_there
from aigc_cli.core.finetune_image import ImageFinetuneRequest


@dataclass(frozen=True)
class Reading:
    """A pipeline that is read, none of its parts being given up yet; see misfit.Case. numbers: of each part's weights."""

    numbers: Mapping[str, int]
    base: Base
    is_adapter: bool

    @property
    def placement(self) -> Placement:
        return self.base.placement

    @property
    def parts(self) -> tuple[tuple[str, int], ...]:
        size = NUMBER_BYTES[loaded_dtype(self.base, is_adapter=self.is_adapter)]
        runtime = RUNTIME if self.placement.device == "cpu" else 0
        return ("runtime", runtime), *((name, size * count) for name, count in self.numbers.items())

    @property
    def total(self) -> int:
        return sum(size for _, size in self.parts)

    def advice(self, there: int) -> tuple[str, ...]:
        return changes_to_fit(self, there, (narrower,), "choose a smaller model")


def refuse_too_large(base: Base, request: ImageFinetuneRequest) -> None:
    """Raises: OutOfMemoryError with numbers and advice; ModelError for a file that cannot be read."""
    weights, there = weights_of(base), memory_there(base.placement.device)
    numbers = {name: sum(map(Tensor.numel, part.values())) for name, part in weights.items()}
    check_memory(Reading(numbers, base, request.tuning.is_adapter), there, "reading the model would take about")
    check_memory(least_case(base, request, weights), there, "training would take at least")


def weights_of(base: Base) -> Weights:
    return weights_to_be(base.blueprint) if base.blueprint else stored_weights(base.source)


def weights_to_be(blueprint: Blueprint) -> Weights:
    parts = blueprint.outline()
    networks = {"text_encoder": parts.text_encoder, "vae": parts.vae, DENOISER: parts.unet}
    return {name: dict(network.named_parameters()) for name, network in networks.items()}


def least_case(base: Base, request: ImageFinetuneRequest, weights: Weights) -> Case:
    """Training as if neither adapters nor pictures took any memory. Text encoders that are not trained may be given up."""
    tuning, compute_bytes = request.tuning, NUMBER_BYTES[base.placement.dtype]
    learns = [name for name in weights if name == DENOISER or (tuning.train_text_encoder and name.startswith("text_encoder"))]
    trained = {} if tuning.is_adapter else {f"{part}.{name}": weight for part in learns for name, weight in weights[part].items()}
    return Case(
        weights=count_weights(trained, held=compute_bytes * sum(weight.numel() for name in learns for weight in weights[name].values())),
        activations=lambda checkpoints: Activations(0.0, 0.0),
        largest=Shape(0, 0),
        can_checkpoint=False,
        request=request,
        placement=base.placement,
    )


def narrower(reading: Reading) -> Iterator[tuple[str, Reading]]:
    best = choose(reading.placement.device, "auto")
    if reading.placement.dtype == "float32" and best.dtype == "bfloat16":
        yield "--dtype bfloat16", replace(reading, base=replace(reading.base, placement=best))

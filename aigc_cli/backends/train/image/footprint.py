"""How much memory training takes, measured on one small picture, and what to change where that is too much.

    peak = runtime + weights + average + optimizer + gradients + activations + what the allocator holds but cannot use

What a picture takes while it is learnt follows from no formula that fits all families. So one is learnt at two small sizes, and
every tensor that lives meanwhile is counted; convolutions, and attention as torch computes it, take memory in proportion to the
pixels, so two sizes tell of any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch

from aigc_cli.backends.device import Placement, choose
from aigc_cli.backends.train.image.buckets import Shape
from aigc_cli.backends.train.image.denoisers import compute_dtype
from aigc_cli.backends.train.image.live_bytes import LiveBytes
from aigc_cli.backends.train.image.objective import Denoise, LearnedPicture
from aigc_cli.backends.train.image.parts import checkpointing
from aigc_cli.backends.train.learner import needs_autocast
from aigc_cli.backends.train.misfit import NUMBER_BYTES, changes_to_fit, smaller_batches
from aigc_cli.backends.train.muon import is_inner_matrix
from aigc_cli.backends.train.trainable import Trainable
from aigc_cli.core.finetune_image import ImageFinetuneRequest
from aigc_cli.training.memory import FLOAT32, optimizer_bytes

RUNTIME = 640 * 2**20  # Python, torch, diffusers, transformers and peft, with kernels for the shapes of batches; measured
CPU_SLACK, GPU_SLACK = 0.4, 0.1  # of activations; on a CPU holes that malloc keeps between what lives longer, measured
CPU_CHECKPOINTING_SLACK = 1.5  # there what a block makes goes at once, and leaves its hole, measured
HALVINGS = (1, 2)  # of the sides at which activations are measured
LEAST_LATENTS = 4  # of such a side
SMALLEST_RESOLUTION = 64  # that advice goes down to


@dataclass(frozen=True)
class Activations:
    """Bytes that one picture takes while it is learnt."""

    fixed: float
    per_pixel: float

    def of(self, pixels: int) -> int:
        return int(self.fixed + self.per_pixel * pixels)

    def halved(self) -> Activations:
        return Activations(self.fixed / 2, self.per_pixel / 2)


@dataclass(frozen=True)
class WeightCounts:
    """held: bytes of the pipeline's weights that stay there, those that are trained as they are computed with.

    trained: numbers that are.  inner: of these in matrices that Muon moves.  factored: rows and columns of matrices, for Adafactor.
    """

    held: int
    trained: int
    inner: int
    factored: int


@dataclass(frozen=True)
class Case:
    """A run whose memory is asked for. activations: of one picture, with checkpointing or without.  largest: shape of a picture.

    can_checkpoint: whether the family knows how to.
    """

    weights: WeightCounts
    activations: Callable[[bool], Activations]
    largest: Shape
    can_checkpoint: bool
    request: ImageFinetuneRequest
    placement: Placement

    @property
    def parts(self) -> tuple[tuple[str, int], ...]:
        """Bytes by part, at the biggest moment: on a CPU of the process, on a GPU of the tensors there."""
        is_cpu, trained = self.placement.device == "cpu", FLOAT32 * self.weights.trained
        has_masters = not self.request.tuning.is_adapter and self.placement.dtype == "bfloat16"
        checkpoints = self.request.optimization.gradient_checkpointing
        one = self.activations(checkpoints).of(self.largest.width * self.largest.height)
        activations = self.request.pace.batch_size * one
        slack = (CPU_CHECKPOINTING_SLACK if checkpoints else CPU_SLACK) if is_cpu else GPU_SLACK
        return (
            ("runtime", RUNTIME if is_cpu else 0),
            ("weights", self.weights.held + (trained if has_masters else 0)),
            ("average", trained if self.request.diffusion.average is not None else 0),
            ("optimizer", optimizer_bytes(self.weights, self.request.optimization.optimizer)),
            ("gradients", trained),
            ("activations", activations),
            ("allocator", int(slack * activations)),
        )

    @property
    def total(self) -> int:
        return sum(size for _, size in self.parts)

    def advice(self, there: int) -> tuple[str, ...]:
        changes = (with_smaller_batches, checkpointed, narrower, with_lower_resolution)  # the cheapest first
        tuning = self.request.tuning
        has_lora = tuning.method == "full" and not tuning.from_scratch
        return changes_to_fit(self, there, changes, f"{'try --method lora, or ' if has_lora else ''}choose a smaller model")


def count_weights(weights: Mapping[str, torch.Tensor], held: int) -> WeightCounts:
    """weights: that are trained, by name.  held: see WeightCounts."""
    return WeightCounts(
        held=held,
        trained=sum(weight.numel() for weight in weights.values()),
        inner=sum(weight.numel() for name, weight in weights.items() if is_inner_matrix(name, weight)),
        factored=sum(len(weight) + weight.numel() // len(weight) if weight.ndim > 1 else weight.numel() for weight in weights.values()),
    )


def measure_activations(
    objective: Denoise, trainable: Trainable, picture: LearnedPicture, scale: int, multiple: int, placement: Placement, *, checkpoints: bool
) -> Activations:
    """Learns from crops of `picture` and leaves no trace of it. scale, multiple: as in Family."""
    found = {}
    for halvings in HALVINGS:
        sides = [max(LEAST_LATENTS, side // 2**halvings) // step * step for side, step in crop_steps(picture, scale, multiple)]
        crop = replace(picture, latents=picture.latents[:, : sides[0], : sides[1]].contiguous())
        with checkpointing(trainable, checkpoints):
            found[sides[0] * sides[1] * scale**2] = peak_of_learning(objective, trainable, crop, placement)
    (large, most), *rest = sorted(found.items(), reverse=True)
    if not rest:
        return Activations(0.0, most / large)
    small, least = rest[0]
    per_pixel = (most - least) / (large - small)
    return Activations(max(0.0, most - per_pixel * large), per_pixel)


def crop_steps(picture: LearnedPicture, scale: int, multiple: int) -> Iterator[tuple[int, int]]:
    """Latents of height and width, each with what they must be multiples of."""
    for side in picture.latents.shape[1:]:
        yield side, min(max(1, multiple // scale), side)


def peak_of_learning(objective: Denoise, trainable: Trainable, picture: LearnedPicture, placement: Placement) -> int:
    """Bytes beyond the weights, were they in the dtype to compute in. Gradients of weights go as soon as they are there."""
    hooks = [weight.register_post_accumulate_grad_hook(forget_gradient) for weight in trainable.parameters.values()]  # type: ignore[no-untyped-call]
    weights = [*objective.family.pipeline.vae.parameters(), *trainable.model.parameters(), *trainable.model.buffers()]
    counted = LiveBytes(weights)
    kind, is_cast = placement.device.partition(":")[0], needs_autocast(trainable, placement)
    try:
        with counted, torch.autocast(kind, getattr(torch, placement.dtype), enabled=is_cast):
            objective.loss([picture]).backward()  # type: ignore[no-untyped-call]
    finally:
        for hook in hooks:
            hook.remove()
    stored = compute_dtype(objective.family.denoiser).itemsize
    return counted.peak if is_cast else counted.peak * NUMBER_BYTES[placement.dtype] // stored


def forget_gradient(weight: torch.Tensor) -> None:
    weight.grad = None


def with_smaller_batches(case: Case) -> Iterator[tuple[str, Case]]:
    for option, pace in smaller_batches(case.request.pace):
        yield option, replace(case, request=replace(case.request, pace=pace))


def checkpointed(case: Case) -> Iterator[tuple[str, Case]]:
    optimization = case.request.optimization
    if case.can_checkpoint and not optimization.gradient_checkpointing:
        request = replace(case.request, optimization=replace(optimization, gradient_checkpointing=True))
        yield "--gradient-checkpointing", replace(case, request=request)


def narrower(case: Case) -> Iterator[tuple[str, Case]]:
    """Activations in half the bytes, and weights: of those that are trained a wide copy is kept besides."""
    best = choose(case.placement.device, "auto")
    if case.placement.dtype == "float32" and best.dtype == "bfloat16":
        weights = replace(case.weights, held=case.weights.held // 2)
        yield "--dtype bfloat16", replace(case, placement=best, weights=weights, activations=lambda is_on: case.activations(is_on).halved())


def with_lower_resolution(case: Case) -> Iterator[tuple[str, Case]]:
    resolution, largest = round((case.largest.width * case.largest.height) ** 0.5), case.largest
    while resolution // 2 >= SMALLEST_RESOLUTION:
        resolution //= 2
        largest = Shape(largest.width // 2, largest.height // 2)
        yield f"--resolution {resolution}", replace(case, largest=largest)

"""Runs that memory does not suffice for, and what to change so that it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

import psutil
import torch

from aigc_cli.backends.device import Placement, memory_free
from aigc_cli.core.errors import OutOfMemoryError
from aigc_cli.core.finetune import Pace
from aigc_cli.core.units import format_size

NUMBER_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
WORTH_IT = 0.1  # share of the bytes still too many that a change saves, to be advised where it fits without


class Case(Protocol):
    """A run whose memory is asked for. parts: bytes by what takes them, at the biggest moment; total: of all."""

    @property
    def placement(self) -> Placement: ...

    @property
    def parts(self) -> tuple[tuple[str, int], ...]: ...

    @property
    def total(self) -> int: ...

    def advice(self, there: int) -> tuple[str, ...]:
        """Changes until it fits into so many bytes, see `changes_to_fit`."""


AnyCase = TypeVar("AnyCase", bound=Case)
Change = Callable[[AnyCase], Iterator[tuple[str, AnyCase]]]  # options, each with the case that it makes; the mildest first


def memory_there(device: str) -> int:
    """Bytes that this process can take: what is free, and what it has already."""
    own: int = 0
    if device == "cpu":
        own = psutil.Process().memory_info().rss
    elif device.startswith("cuda"):
        own = torch.cuda.memory_allocated(device)
    return memory_free(device) + own


def check_memory(case: Case, there: int, what: str = "training would take about") -> None:
    """Raises: OutOfMemoryError with numbers and advice, for what would take more than `there` bytes. what: takes them, in words."""
    if case.total <= there:
        return
    biggest = sorted(case.parts, key=lambda part: -part[1])[:3]
    parts = ", ".join(f"{name} {format_size(size)}" for name, size in biggest if size)
    device = case.placement.device
    message = f"{what} {format_size(case.total)} ({parts}), and {device} has room for {format_size(there)}"
    raise OutOfMemoryError(message, "; ".join(case.advice(there)))


def changes_to_fit(case: AnyCase, there: int, changes: Sequence[Change[AnyCase]], otherwise: str) -> tuple[str, ...]:
    """In words, in their order, each on top of those before and with what it then takes; those that bring little are left out.

    otherwise: what remains to be done where all of them are too little.
    """
    lines, total = made(case, there, changes, WORTH_IT)
    if total > there:
        lines, total = made(case, there, changes, 0.0)
    return lines if total <= there else (*lines, f"that is still too much: {otherwise}")


def made(case: AnyCase, there: int, changes: Sequence[Change[AnyCase]], worth_it: float) -> tuple[tuple[str, ...], int]:
    """Returns: the changes, and what it takes with all of them."""
    lines: list[str] = []
    total = case.total
    for change in changes:
        tried = [(option, changed, changed.total) for option, changed in change(case)]
        if total <= there or not tried:
            continue
        option, changed, smaller = next((one for one in tried if one[2] <= there), tried[-1])
        if total - smaller > worth_it * (total - there):
            case, total = changed, smaller
            lines.append(f"{'then ' if lines else ''}{option} takes {format_size(total)}")
    return tuple(lines), total


def smaller_batches(pace: Pace) -> Iterator[tuple[str, Pace]]:
    """Sizes that make the same step, and so the same result; the largest first."""
    rows = pace.batch_size * pace.gradient_accumulation_steps
    for size in range(pace.batch_size - 1, 0, -1):
        if rows % size == 0:
            option = f"--batch-size {size} --gradient-accumulation-steps {rows // size}"
            yield option, replace(pace, batch_size=size, gradient_accumulation_steps=rows // size)

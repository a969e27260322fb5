"""The error on pictures at fixed noise and fixed levels of it: the same for the same picture in every run, so that runs can be compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import torch

from aigc_cli.backends.torch_load import memory_errors
from aigc_cli.backends.train.image.family import Noising
from aigc_cli.backends.train.image.objective import Denoise, LearnedPicture
from aigc_cli.backends.train.update import Abandoned
from aigc_cli.core.errors import OutOfMemoryError
from aigc_cli.core.events import Progress

LEVELS = 4  # of noise, for each picture
DRAWN = 2**14  # levels that the quantiles are taken of


@dataclass(frozen=True)
class Trial:
    """A picture in one level of noise. place: among those that are measured.  time: the level."""

    place: int
    picture: LearnedPicture
    time: float


def picture_errors(
    objective: Denoise,
    count: int,
    picture: Callable[[int], LearnedPicture],
    *,
    phase: str,
    micro_batch: int,
    autocast: Callable[[], AbstractContextManager[None]],
    should_stop: Callable[[], bool],
) -> Generator[Progress, None, list[float]]:
    """The mean squared error of each of `count` pictures, its levels of noise all weighing the same.

    picture: by its place; its `draw` decides its noise.
    Draws nothing from torch's own generators and changes nothing.
    Raises: Abandoned, and OutOfMemoryError when one picture alone is too much.
    """
    sums = [0.0] * count
    was_training = objective.module.training
    objective.module.eval()
    try:
        for group in groups(trials(count, picture, fixed_times(objective.noising)), micro_batch):
            if should_stop():
                raise Abandoned
            for trial, error in zip(group, errors_of(objective, group, autocast), strict=True):
                sums[trial.place] += error
            yield Progress(phase=phase, done=group[-1].place + 1, total=count, unit="pictures")
    finally:
        objective.module.train(was_training)
    return [total / LEVELS for total in sums]


def fixed_times(noising: Noising) -> list[float]:
    """In the middle of equal shares of the levels that training draws."""
    drawn = noising.draw_times(torch.Generator().manual_seed(0), DRAWN)
    middles = (torch.arange(LEVELS) + 0.5) / LEVELS
    return [float(time) for time in torch.quantile(drawn, middles)]


def trials(count: int, picture: Callable[[int], LearnedPicture], times: Sequence[float]) -> Iterator[Trial]:
    """With other noise in each level."""
    for place in range(count):
        learned = picture(place)
        for level, time in enumerate(times):
            yield Trial(place, replace(learned, draw=learned.draw + level), time)


def groups(each: Iterator[Trial], size: int) -> Iterator[list[Trial]]:
    """Of one shape each, in their order."""
    group: list[Trial] = []
    for trial in each:
        if group and (len(group) == size or trial.picture.latents.shape != group[0].picture.latents.shape):
            yield group
            group = []
        group.append(trial)
    if group:
        yield group


def errors_of(objective: Denoise, group: Sequence[Trial], autocast: Callable[[], AbstractContextManager[None]]) -> list[float]:
    """Fewer at once where memory does not hold all."""
    pictures, times = [trial.picture for trial in group], torch.tensor([trial.time for trial in group])
    try:
        with torch.no_grad(), memory_errors(objective.device, objective.to_save_memory), autocast():
            errors: list[float] = objective.errors(pictures, times).tolist()
            return errors
    except OutOfMemoryError:
        if len(group) == 1:
            raise
    half = math.ceil(len(group) / 2)
    return errors_of(objective, group[:half], autocast) + errors_of(objective, group[half:], autocast)

"""Which pictures make which step, and how each is seen there: functions of their arguments alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from aigc_cli.backends.train.image.buckets import Shape
from aigc_cli.backends.train.plan import random_state
from aigc_cli.core.errors import UsageError

ORDER, VIEW = 1, 2  # what is drawn at random
DRAWS = 2**31


@dataclass(frozen=True)
class View:
    """How a picture is seen once. caption: its number among the picture's own, None for no words.  draw: seed of noise and its level."""

    caption: int | None
    is_mirrored: bool
    draw: int


class PicturePlan:
    """The steps of a run, numbered from 0. A step is of one shape; the last of a shape in an epoch may have fewer pictures.

    shapes: of the pictures, by their numbers.  per_step: batch size times accumulation.
    epochs may be a fraction; max_steps, where given, ends the run instead.
    Raises: UsageError when there are no pictures.
    """

    def __init__(self, shapes: Sequence[Shape], *, per_step: int, epochs: float, max_steps: int | None, seed: int) -> None:
        if not shapes:
            raise UsageError("no picture is left to train on", "lower --val-split, or add pictures")
        self.per_step, self.seed = per_step, seed
        members: dict[Shape, list[int]] = {}
        for number, shape in enumerate(shapes):
            members.setdefault(shape, []).append(number)
        self.buckets = {shape: numpy.array(numbers) for shape, numbers in sorted(members.items())}
        self.steps_per_epoch = sum(math.ceil(len(numbers) / per_step) for numbers in self.buckets.values())
        self.steps = max_steps or max(1, math.ceil(round(epochs * self.steps_per_epoch, 6)))
        self._cached: tuple[int, list[numpy.ndarray]] = (-1, [])

    def step(self, number: int) -> list[int]:
        """The pictures of a step. Raises: IndexError for one that there is not."""
        if not 0 <= number < self.steps:
            raise IndexError(f"step {number} of {self.steps}")
        epoch, step = divmod(number, self.steps_per_epoch)
        if self._cached[0] != epoch:
            self._cached = (epoch, self._order(epoch))
        chosen: list[int] = self._cached[1][step].tolist()
        return chosen

    def epoch(self, steps_done: int) -> float:
        """Passes over the data after so many steps."""
        return steps_done / self.steps_per_epoch

    def view(self, number: int, picture: int, *, captions: int, can_be_mirrored: bool, caption_dropout: float) -> View:
        """How a picture is seen in a step. captions: how many it has."""
        random = random_state(self.seed, VIEW, number // self.steps_per_epoch + 1, picture + 1)
        draw, caption = int(random.randint(DRAWS)), int(random.randint(captions))
        mirrored, dropped = random.random_sample(2) < (0.5, caption_dropout)
        return View(None if dropped else caption, bool(mirrored) and can_be_mirrored, draw)

    def _order(self, epoch: int) -> list[numpy.ndarray]:
        """Each picture once: shuffled within its shape, cut into steps, and the steps shuffled."""
        random = random_state(self.seed, ORDER, epoch + 1)
        steps: list[numpy.ndarray] = []
        for numbers in self.buckets.values():
            shuffled = numbers[random.permutation(len(numbers))]
            steps += [shuffled[begin : begin + self.per_step] for begin in range(0, len(shuffled), self.per_step)]
        return [steps[at] for at in random.permutation(len(steps))]

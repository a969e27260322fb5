"""The steps of a new autoencoder's training, and what is measured of it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy
import torch

from aigc_cli.backends.train.image.autoencoder_training import AutoencoderTraining
from aigc_cli.backends.train.image.new_parts import mode_of
from aigc_cli.backends.train.image.pixel_store import Pixels
from aigc_cli.backends.train.image.pixels import to_tensor
from aigc_cli.backends.train.image.reconstruction import Reconstruction, SeenPicture, decode, errors, views
from aigc_cli.backends.train.job import VALIDATION, Scores
from aigc_cli.backends.train.learner import Learner
from aigc_cli.backends.train.plan import random_state
from aigc_cli.backends.train.update import Abandoned
from aigc_cli.core.events import Evaluation, Event, Progress
from aigc_cli.core.sample import Origin
from aigc_cli.training.report import AUTOENCODER

ORDER, DRAWS = 1, 2  # purposes of random numbers


@dataclass(frozen=True)
class AutoencoderJob:
    """Steps through shuffled pictures without end. train: of `pixels`, the numbers of those that are learnt."""

    request: AutoencoderTraining
    pixels: Pixels
    train: Sequence[int]
    validation: Sequence[int]
    checkpoints: Path
    seed: int

    @property
    def steps(self) -> int:
        return self.request.steps

    @property
    def validates(self) -> bool:
        return bool(self.validation)

    def rows(self, number: int) -> list[SeenPicture]:
        draws = random_state(self.seed, DRAWS, number).randint(0, 2**63 - 1, self.request.batch_size, dtype=numpy.int64)
        return [SeenPicture(self.pixels.array[row], int(draw)) for row, draw in zip(self._numbers(number), draws, strict=True)]

    def origins(self, number: int) -> list[Origin]:
        return [self.pixels.origins[row] for row in self._numbers(number)]

    def epoch(self, steps_done: int) -> float:
        return steps_done * self.request.batch_size / len(self.train)

    def _numbers(self, number: int) -> Iterator[int]:
        """A step may begin in one pass over the pictures and end in another."""
        count, size = len(self.train), self.request.batch_size
        for epoch, places in groupby(range(number * size, (number + 1) * size), lambda at: at // count):
            order = random_state(self.seed, ORDER, epoch).permutation(count)
            yield from (self.train[int(order[at % count])] for at in places)


class AutoencoderMeasurer:
    """How well pictures that were kept back are given back, with the averaged weights."""

    def __init__(self, job: AutoencoderJob, learner: Learner[Reconstruction], should_stop: Callable[[], bool]) -> None:
        self.job, self.learner, self.should_stop = job, learner, should_stop
        self.micro_batch = job.request.batch_size

    def evaluate(self, split: str, step: int) -> Generator[Event, None, float]:
        """Yields the peak signal-to-noise ratio of what is seen of them. Returns: their mean error. Raises: Abandoned."""
        loss, squares = yield from self._errors()
        yield Evaluation(name="loss", value=loss, split=AUTOENCODER, step=step, samples=len(self.job.validation))
        for view, square in squares.items():
            value = -10 * float(numpy.log10(max(square, 1e-10)))
            yield Evaluation(name=f"psnr_{view}", value=value, unit="dB", split=AUTOENCODER, step=step, samples=len(self.job.validation))
        return loss

    def all_figures(self, step: int, *, but: str | None = None) -> Generator[Event, None, Scores]:
        if self.job.validates and but != VALIDATION:
            yield from self.evaluate(VALIDATION, step)
        return Scores()

    def hardest(self) -> Generator[Progress, None, tuple[tuple[()], None]]:
        """No picture is told: the report is the pipeline's."""
        yield from ()
        return (), None

    @torch.no_grad()
    def _errors(self) -> Generator[Progress, None, tuple[float, dict[str, float]]]:
        """The mean error, and for each view the mean square of its error."""
        vae: Any = self.learner.objective.module
        rows, device = self.job.validation, self.learner.placement.device
        error, squares = 0.0, dict[str, float]()
        assert self.learner.average is not None
        with self.learner.average.in_place():
            for begin in range(0, len(rows), self.micro_batch):
                if self.should_stop():
                    raise Abandoned
                yield Progress(phase="measuring the autoencoder", done=begin, total=len(rows), unit="pictures")
                batch = list(rows[begin : begin + self.micro_batch])
                pixels = to_tensor(self.job.pixels.array[batch]).to(device)
                with self.learner.accelerator.autocast():
                    made = decode(vae, mode_of(vae, pixels.to(vae.dtype)).float())
                error += errors(made, pixels).sum().item()
                seen = views(pixels)
                for view, values in views(made.clamp(-1, 1)).items():
                    square = (values - seen[view]).square().mean().item() * len(batch)
                    squares[view] = squares.get(view, 0.0) + square
        return error / len(rows), {view: square / len(rows) for view, square in squares.items()}

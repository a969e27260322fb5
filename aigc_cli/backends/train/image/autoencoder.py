"""The training of a new autoencoder, before the denoiser's: by the same loop, with checkpoints of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy
import torch

from aigc_cli.backends.device import Placement
from aigc_cli.backends.train.averaging import Average
from aigc_cli.backends.train.image.autoencoder_training import AutoencoderTraining
from aigc_cli.backends.train.image.new_parts import Parts, mode_of
from aigc_cli.backends.train.image.pixel_store import Pixels, stored_pixels
from aigc_cli.backends.train.image.pixels import to_tensor
from aigc_cli.backends.train.image.reconstruction import Reconstruction, SeenPicture, decode, errors, views
from aigc_cli.backends.train.job import VALIDATION, Scores
from aigc_cli.backends.train.learner import Learner, masters_of
from aigc_cli.backends.train.plan import random_state
from aigc_cli.backends.train.run import Run
from aigc_cli.backends.train.trainable import Trainable
from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Checkpoint, Evaluation, Event, Progress, TrainStep
from aigc_cli.core.sample import Origin
from aigc_cli.picture_data.dataset import PictureDataset
from aigc_cli.store import checkpoints
from aigc_cli.store.durable import sync_tree

SPLIT = "autoencoder"  # as its figures are called, beside those of the pipeline
ORDER, DRAWS = 1, 2  # purposes of random numbers
MEASURED_LATENTS = 1024  # pictures whose latents' deviation is taken


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

    def __init__(self, job: AutoencoderJob, learner: Learner[Reconstruction]) -> None:
        self.job, self.learner = job, learner
        self.micro_batch = job.request.batch_size

    def evaluate(self, split: str, step: int) -> Generator[Event, None, float]:
        """Yields the peak signal-to-noise ratio of what is seen of them. Returns: their mean error."""
        loss, squares = self._errors()
        yield Evaluation(name="loss", value=loss, split=SPLIT, step=step, samples=len(self.job.validation))
        for view, square in squares.items():
            value = -10 * float(numpy.log10(max(square, 1e-10)))
            yield Evaluation(name=f"psnr_{view}", value=value, unit="dB", split=SPLIT, step=step, samples=len(self.job.validation))
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
    def _errors(self) -> tuple[float, dict[str, float]]:
        """The mean error, and for each view the mean square of its error."""
        vae: Any = self.learner.objective.module
        rows, device = self.job.validation, self.learner.placement.device
        error, squares = 0.0, dict[str, float]()
        assert self.learner.average is not None
        with self.learner.average.in_place():
            for begin in range(0, len(rows), self.micro_batch):
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


def trained_autoencoder(
    parts: Parts, training: AutoencoderTraining, dataset: PictureDataset, folder: Path, seed: int, placement: Placement
) -> Generator[Event, None, None]:
    """Gives parts.vae the weights that lie in `folder`, or trains it, going on from the newest checkpoint there.

    Killed at any moment and called again it ends with the same weights, on a CPU bit for bit.
    Raises: UsageError where there is no picture to learn from, AigcError.
    """
    result = folder / "vae"
    if not result.exists():
        if not dataset.of("train"):
            raise UsageError("there is no picture to train the autoencoder on", "a smaller --val-split keeps fewer back")
        pixels = yield from stored_pixels(dataset, folder, side=parts.side, channels=parts.vae.config.in_channels)
        yield from train(parts.vae, training, pixels, folder / "checkpoints", seed, placement)
        set_scale(parts.vae, pixels)
        publish(parts.vae, result)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    (folder / "pixels.npy").unlink(missing_ok=True)
    trained = type(parts.vae).from_pretrained(str(result), local_files_only=True)
    parts.vae.load_state_dict(trained.state_dict())
    parts.vae.register_to_config(scaling_factor=trained.config.scaling_factor)


def train(
    vae: Any, training: AutoencoderTraining, pixels: Pixels, folder: Path, seed: int, placement: Placement
) -> Generator[Event, None, None]:
    """Leaves the averaged weights in `vae`, in float32 on the CPU."""
    checkpoints.remove_leftovers(folder)
    numbers = {split: [number for number, of in enumerate(pixels.splits) if of == split] for split in ("train", "validation")}
    job = AutoencoderJob(training, pixels, numbers["train"], numbers["validation"], folder, seed)
    vae.to(placement.device, memory_format=torch.channels_last).requires_grad_(True)
    trainable = Trainable(vae, dict(vae.named_parameters()), is_adapter=False)
    masters = masters_of(trainable, placement)
    average = Average(masters, training.average)
    learner = Learner(trainable, masters, Reconstruction(vae, training, placement.device), training, placement, average)
    run = Run(job, learner, AutoencoderMeasurer(job, learner), lambda: False)
    for event in run.stream(checkpoints.newest(folder)):
        match event:
            case TrainStep():
                yield Progress(t=event.t, phase="training the autoencoder", done=event.step, total=event.steps, unit="steps")
            case Checkpoint():
                pass  # the pipeline's checkpoints are what a user may go on from
            case _:
                yield event
    vae.to(torch.float32).load_state_dict(average.weights)
    vae.to("cpu", memory_format=torch.contiguous_format).requires_grad_(False)


@torch.no_grad()
def set_scale(vae: Any, pixels: Pixels) -> None:
    """Brings latents to unit deviation on their way to the denoiser (arXiv:2112.10752, appendix G)."""
    chosen = numpy.linspace(0, len(pixels.array) - 1, min(len(pixels.array), MEASURED_LATENTS)).astype(int)
    latents = torch.cat([mode_of(vae, to_tensor(pixels.array[part])) for part in numpy.array_split(chosen, -(-len(chosen) // 32))])
    vae.register_to_config(scaling_factor=float(f"{1 / latents.std().item():.5g}"))


def publish(vae: Any, target: Path) -> None:
    """Writes the folder whole or not at all."""
    unfinished = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(unfinished, ignore_errors=True)
    vae.save_pretrained(str(unfinished))
    sync_tree(unfinished)
    os.rename(unfinished, target)

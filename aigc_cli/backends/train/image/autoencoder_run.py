"""The training of a new autoencoder, before the denoiser's: by the same loop, with checkpoints of its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch

from aigc_cli.backends.device import Placement
from aigc_cli.backends.train.averaging import Average
from aigc_cli.backends.train.image.autoencoder import AutoencoderJob, AutoencoderMeasurer
from aigc_cli.backends.train.image.autoencoder_training import AutoencoderTraining
from aigc_cli.backends.train.image.new_parts import Parts, mode_of
from aigc_cli.backends.train.image.pixel_store import Pixels, stored_pixels
from aigc_cli.backends.train.image.pixels import to_tensor
from aigc_cli.backends.train.image.reconstruction import Reconstruction
from aigc_cli.backends.train.learner import Learner, masters_of
from aigc_cli.backends.train.run import Outcome, Run
from aigc_cli.backends.train.trainable import Trainable
from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Event
from aigc_cli.picture_data.dataset import PictureDataset
from aigc_cli.store.checkpoints import Found, remove_leftovers
from aigc_cli.store.durable import sync_tree
from aigc_cli.training.report import AUTOENCODER

MEASURED_LATENTS = 1024  # pictures whose latents' deviation is taken


@dataclass(frozen=True)
class AutoencoderRun:
    """An autoencoder ready for its first step, or to go on.

    vae: as it was drawn at random.  folder: keeps its checkpoints, and in the end its weights.
    """

    vae: Any
    training: AutoencoderTraining
    pixels: Pixels
    folder: Path
    seed: int
    placement: Placement

    split = AUTOENCODER

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def train(self, resume_from: Found | None, should_stop: Callable[[], bool]) -> Generator[Event, None, Outcome]:
        """See `Run.stream`. Unless it was interrupted, the averaged weights then lie in `folder`, to be read.

        Killed at any moment and called again it ends with the same weights, on a CPU bit for bit.
        """
        vae, training, placement = self.vae, self.training, self.placement
        job = self._job()
        vae.to(placement.device, memory_format=torch.channels_last).requires_grad_(True)
        trainable = Trainable(vae, dict(vae.named_parameters()), is_adapter=False)
        masters = masters_of(trainable, placement)
        average = Average(masters, training.average)
        learner = Learner(trainable, masters, Reconstruction(vae, training, placement.device), training, placement, average)
        run = Run(job, learner, AutoencoderMeasurer(job, learner, should_stop), should_stop, AUTOENCODER)
        outcome = yield from run.stream(resume_from)
        if outcome.finish_reason != "interrupted":
            vae.to(torch.float32).load_state_dict(average.weights)
            vae.to("cpu", memory_format=torch.contiguous_format)
            set_scale(vae, self.pixels)
            publish(vae, weights_in(self.folder))
        return outcome

    def _job(self) -> AutoencoderJob:
        numbers = {split: [number for number, of in enumerate(self.pixels.splits) if of == split] for split in ("train", "validation")}
        return AutoencoderJob(self.training, self.pixels, numbers["train"], numbers["validation"], self.checkpoints, self.seed)


def prepare_autoencoder(
    parts: Parts, training: AutoencoderTraining, dataset: PictureDataset, folder: Path, seed: int, placement: Placement
) -> Generator[Event, None, AutoencoderRun]:
    """Brings the pictures to its size. Raises: UsageError where there is none to learn from; AigcError for a disk that is too small."""
    if not dataset.of("train"):
        raise UsageError("there is no picture to train the autoencoder on", "a smaller --val-split keeps fewer back")
    pixels = yield from stored_pixels(dataset, folder, side=parts.side, channels=parts.vae.config.in_channels)
    run = AutoencoderRun(parts.vae, training, pixels, folder, seed, placement)
    remove_leftovers(run.checkpoints)
    return run


def is_trained(folder: Path) -> bool:
    return weights_in(folder).exists()


def weights_in(folder: Path) -> Path:
    return folder / "vae"


def take_trained(vae: Any, folder: Path) -> None:
    """Gives an autoencoder the weights that its training left in `folder`, where nothing else is wanted any more."""
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    (folder / "pixels.npy").unlink(missing_ok=True)
    trained = type(vae).from_pretrained(str(weights_in(folder)), local_files_only=True)
    vae.load_state_dict(trained.state_dict())
    vae.register_to_config(scaling_factor=trained.config.scaling_factor)


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

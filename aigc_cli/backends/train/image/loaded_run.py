"""A run on pictures with its weights in place."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from aigc_cli.backends.train.image.family import Family
from aigc_cli.backends.train.image.job import ImageJob
from aigc_cli.backends.train.image.measure import ImageMeasurer
from aigc_cli.backends.train.image.objective import Denoise
from aigc_cli.backends.train.image.plan import PicturePlan
from aigc_cli.backends.train.image.prepared_pictures import PreparedPictures
from aigc_cli.backends.train.image.result import write_result
from aigc_cli.backends.train.image.samples import Artist
from aigc_cli.backends.train.learner import Learner
from aigc_cli.backends.train.loaded import model_facts, seconds_each
from aigc_cli.backends.train.run import Outcome, Run
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.events import Event
from aigc_cli.core.finetune_image import ImageFinetuneRequest
from aigc_cli.store.checkpoints import Found
from aigc_cli.training.report import ModelFacts


@dataclass(frozen=True)
class LoadedImageRun:
    """request: with a learning rate.  stored_dtype: of the base's weights on disk, and of the result's if it is a whole pipeline."""

    source: ModelSource
    request: ImageFinetuneRequest
    family: Family
    data: PreparedPictures
    plan: PicturePlan
    learner: Learner[Denoise]
    artist: Artist
    stored_dtype: str

    @property
    def facts(self) -> ModelFacts:
        return model_facts(self.source, self.learner, method=self.request.tuning.method, mode="image")

    def train(
        self, checkpoints: Path, resume_from: Found | None, data: Path, should_stop: Callable[[], bool]
    ) -> Generator[Event, None, Outcome]:
        """Measures, draws, trains, and does the former two again; see `Run.stream`. data: where it lies that `prepare` made."""
        job = self._job(checkpoints)
        torch.manual_seed(self.request.seed)  # dropout draws from there; a resume goes on from what its checkpoint holds
        measurer = ImageMeasurer(job, self.learner, self.artist, should_stop)
        outcome = yield from Run(job, self.learner, measurer, should_stop).stream(resume_from)
        return outcome

    def seconds_per_picture(self) -> float:
        """Of training, timed on a few steps; the weights are of no use afterwards."""
        return seconds_each(self.learner, self._job(Path()).rows(self._usual_step()))

    def write_result(self, folder: Path) -> None:
        """What the run came to, ready to be used: of the weights their average, where there is one. Raises: OSError, ModelError."""
        learner = self.learner
        with learner.average.in_place() if learner.average else nullcontext():
            write_result(
                folder, self.family, learner.trainable, learner.masters, self.source, dtype=self.stored_dtype, request=self.request
            )

    def _usual_step(self) -> int:
        """One with as many pictures as any of the first."""
        return max(range(min(self.plan.steps, 50)), key=lambda step: len(self.plan.step(step)))

    def _job(self, checkpoints: Path) -> ImageJob:
        return ImageJob(
            request=self.request,
            plan=self.plan,
            store=self.data.store,
            training=self.data.training,
            kept_back=self.data.kept_back,
            checkpoints=checkpoints,
        )

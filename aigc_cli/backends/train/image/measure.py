"""What is measured and drawn before training, on the way, and after it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy

from aigc_cli.backends.train.image.evaluate import picture_errors
from aigc_cli.backends.train.image.job import ImageJob
from aigc_cli.backends.train.image.objective import Denoise
from aigc_cli.backends.train.image.samples import Artist
from aigc_cli.backends.train.job import VALIDATION, Scores
from aigc_cli.backends.train.learner import Learner
from aigc_cli.core.events import Evaluation, Event, Progress
from aigc_cli.training.report import HardRow, Searched

HARDEST = 10  # pictures that the report lists
SAMPLES = "samples"  # folder of a run, beside its checkpoints


class ImageMeasurer:
    """Measures the weights that come of the run: their average where there is one, else those that a learner holds."""

    def __init__(self, job: ImageJob, learner: Learner[Denoise], artist: Artist, should_stop: Callable[[], bool]) -> None:
        self.job, self.learner, self.artist, self.should_stop = job, learner, artist, should_stop
        self.micro_batch = job.request.pace.batch_size

    def evaluate(self, split: str, step: int) -> Generator[Event, None, float]:
        """The loss of the pictures that were kept back, and what is drawn at this step. Returns: the loss."""
        with self._result_in_place():
            rows = self._chosen(self.job.kept_back)
            errors = yield from self._errors(split, rows)
            loss = sum(errors) / len(errors)
            yield Evaluation(name="loss", value=loss, split=split, step=step, samples=len(errors))
            yield from self._draw(step)
        return loss

    def all_figures(self, step: int, *, but: str | None = None) -> Generator[Event, None, Scores]:
        """What `evaluate` gives, unless it was measured already; without a validation split what is drawn alone."""
        if not self.job.validates:
            with self._result_in_place():
                yield from self._draw(step)
        elif but != VALIDATION:
            yield from self.evaluate(VALIDATION, step)
        return Scores()

    def hardest(self) -> Generator[Progress, None, tuple[tuple[HardRow, ...], Searched]]:
        """The training pictures with the highest error even now, of those that were looked at: often a caption that is wrong."""
        rows = self._chosen(self.job.training)
        with self._result_in_place():
            errors = yield from self._errors("training pictures", rows)
        worst = sorted(zip(errors, rows, strict=True), reverse=True)[:HARDEST]
        found = tuple(self._hard_row(row, error) for error, row in worst)
        return found, Searched(rows=len(rows), drawn_from=len(self.job.training))

    def _chosen(self, rows: Sequence[int]) -> list[int]:
        """Those of one shape together, so that they can run together."""
        shapes = self.job.store.wanted.fits
        return sorted(chosen(rows, self.job.request.proof.max_eval_samples), key=lambda row: (shapes[row].shape, row))

    def _hard_row(self, row: int, error: float) -> HardRow:
        origin = self.job.origin(row)
        return HardRow(file=origin.file, line=origin.line, row=origin.row, loss=error, text=self.job.caption(row))

    def _errors(self, what: str, rows: Sequence[int]) -> Generator[Progress, None, list[float]]:
        errors = yield from picture_errors(
            self.learner.objective,
            len(rows),
            lambda place: self.job.measured(rows[place]),
            phase=f"measuring {what}",
            micro_batch=self.micro_batch,
            autocast=self.learner.accelerator.autocast,
            should_stop=self.should_stop,
        )
        return errors

    def _draw(self, step: int) -> Generator[Event, None, None]:
        module = self.learner.objective.module
        module.eval()
        try:
            yield from self.artist.sheet(step, self.job.checkpoints.with_name(SAMPLES), self.should_stop)
        finally:
            module.train()

    def _result_in_place(self) -> AbstractContextManager[None]:
        return self.learner.average.in_place() if self.learner.average else nullcontext()


def chosen(rows: Sequence[int], limit: int) -> list[int]:
    """All, or as many as `limit`, drawn at random: the same each time."""
    if len(rows) <= limit:
        return list(rows)
    return [rows[place] for place in numpy.random.default_rng(0).permutation(len(rows))[:limit].tolist()]

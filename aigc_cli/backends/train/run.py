"""Training: our own loop over accelerate, as a generator of events. It knows no screen and draws no bar."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from aigc_cli.backends import device as devices
from aigc_cli.backends.train.job import VALIDATION, Job, Measurer, Scores
from aigc_cli.backends.train.learner import Learner
from aigc_cli.backends.train.state import read_state, read_weights, write_state
from aigc_cli.backends.train.update import Abandoned, NotFiniteError
from aigc_cli.core.errors import AigcError
from aigc_cli.core.events import Caution, Checkpoint, Event, TrainStep
from aigc_cli.store import checkpoints
from aigc_cli.training.position import Position
from aigc_cli.training.report import FinishReason, HardRow, Searched
from aigc_cli.training.schedule import learning_rate_factor

SAVE_SECONDS = 600.0  # a checkpoint is written when so much work would be lost
NAMED_ROWS = 8  # of a batch that went wrong


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended. best_step: whose weights the learner holds now, None for the last's."""

    finish_reason: FinishReason
    best_step: int | None = None
    seconds: float
    hardest: tuple[HardRow, ...] = ()
    searched: Searched | None = None
    scores: Scores = field(default_factory=Scores)


class Run:
    """A job under way. split: as in TrainStep."""

    def __init__(
        self, job: Job, learner: Learner[Any], measurer: Measurer, should_stop: Callable[[], bool], split: str | None = None
    ) -> None:
        self.job, self.learner, self.measurer, self.should_stop, self.split = job, learner, measurer, should_stop, split
        request = job.request
        self.steps = job.steps
        self.eval_steps = request.pace.eval_steps or max(1, math.ceil(self.steps / 10))
        self.save_steps = request.pace.save_steps or self.eval_steps
        self.learning_rate = learner.request.optimization.learning_rate or 0.0
        self.position = Position(micro_batch=request.pace.batch_size)
        self.seen_before, self.seconds_before = 0, 0.0  # by earlier starts of this run
        self.saved_step = 0
        self.began = self.saved_at = time.perf_counter()

    def stream(self, resume_from: checkpoints.Found | None) -> Generator[Event, None, Outcome]:
        """Trains to the end, or until `should_stop`: then what was done is saved, and the outcome is "interrupted".

        Closed before its end, it saves as well.
        The learner ends with the best weights.
        Raises: AigcError for a loss that is no number or explodes; OutOfMemoryError when one row alone is too much.
        """
        try:
            if resume_from:
                self._resume(resume_from)
            else:
                yield from self._measure_base()
            while True:
                yield from self._pause()
                if self._is_over():
                    break
                yield from self._step()
            yield from self._take_best()
            is_measured = self.position.best_step is not None
            scores = yield from self.measurer.all_figures(self.result_step, but=VALIDATION if is_measured else None)
            hardest, searched = yield from self.measurer.hardest()
        except Abandoned:
            if self.position.step > self.saved_step:
                yield self._save(is_best=False)
            return Outcome(finish_reason="interrupted", seconds=self.position.seconds)
        except GeneratorExit:  # nobody listens any more: a pipe that was closed
            if self.position.step > self.saved_step:
                with suppress(AigcError, OSError):  # nor would anybody hear of a disk that is full
                    self._save(is_best=False)
            raise
        return Outcome(
            finish_reason=self._finish_reason(),
            best_step=self.position.best_step,
            seconds=self.position.seconds,
            hardest=hardest,
            searched=searched,
            scores=scores,
        )

    @property
    def result_step(self) -> int:
        return self.position.step if self.position.best_step is None else self.position.best_step

    def _resume(self, found: checkpoints.Found) -> None:
        self.position = read_state(found.path, self.learner)
        self.learner.updater.micro_batch = self.measurer.micro_batch = self.position.micro_batch
        self.seen_before, self.seconds_before = self.position.seen, self.position.seconds
        self.saved_step = self.position.step

    def _measure_base(self) -> Generator[Event, None, None]:
        """Raises: AigcError for a model whose loss is no number before anything was changed."""
        for event in self.measurer.all_figures(0):
            yield event
            if getattr(event, "name", "") == "loss" and not math.isfinite(getattr(event, "value", 0.0)):
                raise AigcError("the model's loss is no number before training", "try --dtype float32; its weights may be damaged")

    def _is_over(self) -> bool:
        return self.position.step >= self.steps or self._has_stalled()

    def _has_stalled(self) -> bool:
        patience = self.job.request.pace.early_stopping_patience
        return 0 < patience <= self.position.evaluations_without_gain

    def _finish_reason(self) -> FinishReason:
        if self._has_stalled():
            return "early_stopping"
        return "complete" if self.job.request.pace.max_steps is None else "max_steps"

    def _step(self) -> Generator[Event, None, None]:
        """One update. Raises: Abandoned before it; AigcError where it goes wrong, with the rows it was made of."""
        began = time.perf_counter()
        number, updater = self.position.step, self.learner.updater
        learning_rate = self.learning_rate * learning_rate_factor(number, self.steps, self.job.request.optimization)
        micro_batch = updater.micro_batch
        try:
            update = updater.update(self.job.rows(number), learning_rate, self.should_stop)
        except NotFiniteError as error:
            raise self._gone_wrong(error.message, number) from error
        position = self.position.stepped(update.loss, update.size, time.perf_counter() - began)
        self.position = replace(position, micro_batch=updater.micro_batch)
        if self.learner.average:
            self.learner.average.follow(self.position.step)
        if updater.micro_batch < micro_batch:
            yield self._less_at_once(micro_batch)
        if self.position.is_exploding:
            risen = f"the loss has risen to {self.position.smoothed:.3g}, from {self.position.lowest:.3g} at its best,"
            raise self._gone_wrong(risen, number)
        yield TrainStep(
            t=time.perf_counter() - self.began,
            step=self.position.step,
            steps=self.steps,
            epoch=self.job.epoch(self.position.step),
            loss=update.loss,
            learning_rate=learning_rate,
            grad_norm=update.grad_norm,
            samples=len(self.job.origins(number)),
            **self._seen(),
            peak_memory=devices.peak_memory(self.learner.placement.device),
            split=self.split,
        )

    def _seen(self) -> dict[str, Any]:
        """The fields of TrainStep that count what is learnt from."""
        unit = self.learner.objective.unit
        speed = (self.position.seen - self.seen_before) / max(1e-9, self.position.seconds - self.seconds_before)
        return {unit: self.position.seen, f"{unit}_per_second": speed}

    def _less_at_once(self, before: int) -> Caution:
        now = self.learner.updater.micro_batch
        self.measurer.micro_batch = now
        return Caution(
            message=f"out of memory with {before} rows at once: from here on {now}, and more of them for each step",
            hint="the result is the same; --batch-size and --gradient-accumulation-steps set both",
        )

    def _gone_wrong(self, what: str, number: int) -> AigcError:
        """Names the rows of the step, and what is left. number: of the step, from 0."""
        rows = self.job.origins(number)
        named = ", ".join(map(str, rows[:NAMED_ROWS])) + (f" and {len(rows) - NAMED_ROWS} more" if len(rows) > NAMED_ROWS else "")
        saved = checkpoints.listed(self.job.checkpoints)
        kept = f"the checkpoint in {saved[0]} is kept" if saved else "nothing was saved yet"
        lower = f"a lower {self.learner.objective.learning_rate_option} than {self.learning_rate:g}"
        hint = f"{kept}; look at these rows, or begin again with {lower}"
        return AigcError(f"{what} at step {number + 1} of {self.steps}, whose rows are {named}", hint)

    def _pause(self) -> Generator[Event, None, None]:
        """Measures and saves what is due at this step and was not yet done, as when a run was stopped while it measured."""
        step, is_last = self.position.step, self.position.step == self.steps
        is_due = self.job.validates and (step % self.eval_steps == 0 or is_last)
        measures = is_due and self.position.measured_step < step
        if measures:
            loss = yield from self.measurer.evaluate(VALIDATION, step)
            self.position = self.position.measured(loss)
        waited = time.perf_counter() - self.saved_at > SAVE_SECONDS
        if measures or (step > self.saved_step and (is_last or step % self.save_steps == 0 or waited)):
            yield self._save(is_best=self.position.best_step == step)

    def _save(self, is_best: bool) -> Checkpoint:
        path = checkpoints.publish(
            self.job.checkpoints,
            self.position.step,
            best=is_best,
            write=lambda folder: write_state(folder, self.learner, self.position),
            info={"loss": self.position.best_loss},
        )
        checkpoints.prune(self.job.checkpoints, self.job.request.pace.keep)
        self.saved_at, self.saved_step = time.perf_counter(), self.position.step
        return Checkpoint(t=self.saved_at - self.began, step=self.position.step, path=str(path), best=is_best, split=self.split)

    def _take_best(self) -> Generator[Event, None, None]:
        """Puts the weights of the best evaluation in place, where they are not already."""
        if self.position.best_step in (None, self.position.step):
            return
        found = checkpoints.best(self.job.checkpoints)
        if found is None or found.step != self.position.best_step:
            yield Caution(
                message=f"the best checkpoint, of step {self.position.best_step}, is not there any more: the last weights are the result"
            )
            self.position = replace(self.position, best_step=None)
            return
        read_weights(found.path, self.learner)

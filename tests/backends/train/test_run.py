"""A run of a few steps, stopped or gone wrong at a chosen moment."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy
import pytest
import torch

from aigc_cli.backends.torch_text import TorchTextEngine
from aigc_cli.backends.train.plan import Plan
from aigc_cli.backends.train.run import Outcome, Run
from aigc_cli.backends.train.text.encode import Encoded
from aigc_cli.backends.train.text.measure import TextJob, TextMeasurer
from aigc_cli.backends.train.text.token_store import TokenStore, TokenStoreWriter
from aigc_cli.core.errors import AigcError
from aigc_cli.core.events import Event, TrainStep
from aigc_cli.core.finetune import Pace
from aigc_cli.core.sample import Origin
from aigc_cli.store.checkpoints import listed, newest, order
from tests.backends.tiny_models import VOCAB_SIZE
from tests.backends.train.test_update import learner_of

STEPS, ROWS_PER_STEP = 4, 2


class SilentEngine:
    """Is asked nothing."""

    def forget(self) -> None:
        pass


def store_of(folder: Path, rows: int) -> TokenStore:
    random = numpy.random.default_rng(rows)
    with TokenStoreWriter(folder, ["d.jsonl"]) as writer:
        for line in range(1, rows + 1):
            ids = random.integers(VOCAB_SIZE, size=12).tolist()
            writer.add(Encoded(ids, [False] + [True] * 11, 12), 0, line)
    return TokenStore(folder)


def no_texts(origins: Sequence[Origin]) -> list[str]:
    return [""] * len(origins)


def run_of(folder: Path, should_stop: Callable[[], bool] = lambda: False, **pace: Any) -> Run:
    learner = learner_of(folder)
    train, validation = store_of(folder / "train", STEPS * ROWS_PER_STEP), store_of(folder / "validation", 3)
    request = dataclasses.replace(learner.request, pace=Pace(batch_size=ROWS_PER_STEP, epochs=1, **pace))
    learner.request = dataclasses.replace(
        learner.request, optimization=dataclasses.replace(learner.request.optimization, learning_rate=0.1, warmup=0.0)
    )
    plan = Plan(train.lengths, rows_per_step=ROWS_PER_STEP, epochs=1, max_steps=None, packing=False, max_length=16, seed=0)
    job = TextJob(
        request=request,
        plan=plan,
        train=train,
        measured={"validation": validation},
        questions=(),
        text=no_texts,
        checkpoints=folder / "checkpoints",
    )
    return Run(job, learner, TextMeasurer(job, learner, cast(TorchTextEngine, SilentEngine()), should_stop), should_stop)


def followed(run: Run) -> tuple[list[Event], Outcome]:
    events, stream = [], run.stream(newest(run.job.checkpoints) if run.job.checkpoints.exists() else None)
    while True:
        try:
            events.append(next(stream))
        except StopIteration as end:
            return events, end.value


def losses(events: list[Event]) -> list[float]:
    return [event.loss for event in events if isinstance(event, TrainStep)]


@pytest.mark.parametrize("steps_before", [1, 2, 3, STEPS])
def test_whenever_it_is_stopped_every_step_is_saved_once_and_a_resume_ends_the_same(tmp_path: Path, steps_before: int) -> None:
    """Also after the last step, while the weights are measured."""
    undisturbed, _ = followed(run_of(tmp_path / "undisturbed", eval_steps=STEPS))
    stopped = run_of(tmp_path / "run", lambda: stopped.position.step >= steps_before, eval_steps=STEPS)
    first, outcome = followed(stopped)
    assert outcome.finish_reason == "interrupted"
    assert [order(path)[0] for path in listed(tmp_path / "run" / "checkpoints")] == [steps_before]
    rest, outcome = followed(run_of(tmp_path / "run", eval_steps=STEPS))
    assert outcome.finish_reason == "complete"
    assert losses(first) + losses(rest) == losses(undisturbed)


def test_closed_before_its_end_it_saves_the_steps_that_were_made(tmp_path: Path) -> None:
    run = run_of(tmp_path, eval_steps=STEPS)
    stream = run.stream(None)
    while not isinstance(next(stream), TrainStep) or run.position.step < 2:
        pass
    stream.close()
    rest, _ = followed(run_of(tmp_path, eval_steps=STEPS))
    assert [event.step for event in rest if isinstance(event, TrainStep)] == [3, 4]


def test_stopped_before_anything_new_was_done_it_saves_nothing_again(tmp_path: Path) -> None:
    stopped = run_of(tmp_path, lambda: stopped.position.step >= 2, eval_steps=STEPS)
    followed(stopped)
    before = listed(tmp_path / "checkpoints")
    events, outcome = followed(run_of(tmp_path, lambda: True, eval_steps=STEPS))
    assert (events, outcome.finish_reason) == ([], "interrupted")
    assert listed(tmp_path / "checkpoints") == before


@pytest.mark.parametrize("wrong_step", [1, 3])
def test_a_loss_that_is_no_number_names_the_step_and_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong_step: int) -> None:
    run = run_of(tmp_path, eval_steps=STEPS)
    forward = run.learner.objective.module.forward

    def poisoned(batch: Any, labels: torch.Tensor) -> torch.Tensor:
        return forward(batch, labels) * (float("nan") if run.position.step == wrong_step - 1 else 1.0)

    monkeypatch.setattr(run.learner.objective.module, "forward", poisoned)
    with pytest.raises(AigcError, match=f"at step {wrong_step} of {STEPS}") as raised:
        followed(run)
    for origin in run.job.origins(wrong_step - 1):
        assert str(origin) in raised.value.message


def test_a_loss_that_explodes_names_the_rows_of_the_step_that_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(tmp_path, eval_steps=STEPS)
    monkeypatch.setattr("aigc_cli.training.position.Position.is_exploding", property(lambda position: position.step == STEPS))
    with pytest.raises(AigcError, match=f"at step {STEPS} of {STEPS}") as raised:
        followed(run)
    for origin in run.job.origins(STEPS - 1):
        assert str(origin) in raised.value.message

"""What is told of a run whose weights are in place, whatever it learns from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from aigc_cli.backends.train.learner import Learner
from aigc_cli.core.engine import ModelSource
from aigc_cli.training.report import ModelFacts

TIMED_STEPS = 3  # for an estimate; the first is slower, and does not count


def model_facts(source: ModelSource, learner: Learner[Any], *, method: str, mode: str) -> ModelFacts:
    return ModelFacts(
        name=source.name,
        revision=source.revision,
        device=learner.placement.device,
        dtype=learner.placement.dtype,
        method=method,
        mode=mode,
        trained_parameters=learner.trainable.trained,
        total_parameters=learner.trainable.total,
    )


def seconds_each(learner: Learner[Any], rows: Sequence[Any]) -> float:
    """Of training, for a token or a picture, timed on a few steps with these rows; the weights are of no use afterwards."""
    timed = []
    for _ in range(TIMED_STEPS):
        began = time.perf_counter()
        size = learner.updater.update(rows, 0.0, lambda: False).size
        timed.append((time.perf_counter() - began) / size)
    return sum(timed[1:]) / len(timed[1:])

"""Where a run stands."""

from __future__ import annotations

import math
from itertools import pairwise

from aigc_cli.training.position import Position


def after(losses: list[float]) -> Position:
    position = Position(micro_batch=8)
    for loss in losses:
        position = position.stepped(loss, size=10, seconds=0.5)
    return position


def test_steps_sizes_and_seconds_add_up() -> None:
    position = after([3.0, 2.0, 1.0])
    assert (position.step, position.seen, position.seconds) == (3, 30, 1.5)


def test_the_best_evaluation_is_remembered_and_those_without_a_gain_are_counted() -> None:
    position = after([3.0])
    for loss in (2.0, 1.5, 1.7, 1.5):
        position = position.stepped(1.0, 10, 0.1).measured(loss)
    assert (position.best_step, position.best_loss, position.evaluations_without_gain) == (3, 1.5, 2)


def test_a_loss_that_is_no_number_is_no_gain() -> None:
    position = after([3.0]).measured(2.0).measured(math.nan)
    assert (position.best_loss, position.evaluations_without_gain) == (2.0, 1)
    position = after([3.0]).measured(math.nan).measured(2.0)  # nor does it bar those that come after it
    assert (position.best_loss, position.evaluations_without_gain) == (2.0, 0)


def test_a_noisy_run_does_not_explode_and_one_that_runs_away_does() -> None:
    noisy = [4.0, 0.5, 6.0, 1.0, 5.5, 0.4] * 10
    assert not any(after(noisy[:length]).is_exploding for length in range(1, len(noisy)))
    assert after([3.0] * 10 + [60.0]).is_exploding or after([3.0] * 10 + [60.0, 60.0]).is_exploding
    assert after([3.0] * 20 + [12.0] * 15).is_exploding


def test_it_survives_json() -> None:
    position = after([3.0, 2.1]).measured(1.23456789012345)
    assert Position(**position.to_json()) == position
    assert all(earlier.step < later.step for earlier, later in pairwise([after([1.0]), position]))

"""The learning rate at each step."""

from __future__ import annotations

import pytest

from aigc_cli.core.finetune import Optimization
from aigc_cli.training.schedule import learning_rate_factor


def factors(steps: int, **options: object) -> list[float]:
    optimization = Optimization(**options)  # type: ignore[arg-type]
    return [learning_rate_factor(step, steps, optimization) for step in range(steps)]


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant", "wsd"])
@pytest.mark.parametrize("steps", [1, 2, 3, 10, 1000])
def test_every_step_has_a_rate_above_nothing_and_at_most_the_peak(schedule: str, steps: int) -> None:
    found = factors(steps, schedule=schedule)
    assert all(0 < factor <= 1 for factor in found)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant", "wsd"])
def test_it_rises_to_the_peak_in_equal_steps(schedule: str) -> None:
    found = factors(100, schedule=schedule, warmup=0.04)
    assert found[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_cosine_is_half_way_down_in_the_middle_and_nearly_nothing_at_the_end() -> None:
    found = factors(101, schedule="cosine", warmup=0.0)
    assert found[0] == 1.0
    assert found[50] == pytest.approx(0.5, abs=0.01)
    assert found[100] < 0.001


def test_warmup_stable_decay_stays_and_then_falls_in_a_straight_line() -> None:
    found = factors(100, schedule="wsd", warmup=0.0, decay=0.2)
    assert found[:81] == [1.0] * 81
    assert found[81:] == pytest.approx([(100 - step) / 20 for step in range(81, 100)])

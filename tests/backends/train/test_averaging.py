"""What the average of the weights is, young and old."""

from __future__ import annotations

import pytest
import torch
from torch.nn import Parameter

from aigc_cli.backends.train.averaging import Average
from aigc_cli.backends.train.master_weights import MasterWeights


def averages(steps: int, decay: float) -> list[float]:
    """After each step of a weight that has the step's number."""
    weight = Parameter(torch.zeros(1))
    average = Average(MasterWeights({"weight": weight}, None), decay)
    seen = []
    for step in range(1, steps + 1):
        weight.data.fill_(step)
        average.follow(step)
        seen.append(average.weights["weight"].item())
    return seen


def test_a_young_average_is_close_behind() -> None:
    seen = averages(1000, decay=0.9999)
    assert seen[0] == 1  # nothing of the first weights, which are random
    assert all(0.9 * step <= value <= step for step, value in enumerate(seen[9:], start=10))


def test_an_old_one_is_exponential() -> None:
    seen = averages(2000, decay=0.9)
    assert 2000 - seen[-1] == pytest.approx(0.9 / (1 - 0.9), rel=1e-3)  # the lag of an exponential mean behind a line


def test_the_model_holds_it_only_meanwhile() -> None:
    weight = Parameter(torch.zeros(1))
    average = Average(MasterWeights({"weight": weight}, None), 0.5)
    average.weights["weight"].fill_(3)
    with average.in_place():
        assert weight.item() == 3
    assert weight.item() == 0

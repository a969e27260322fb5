"""Steps: every sample once an epoch, the same on every machine, with little padding."""

from __future__ import annotations

import time

import numpy
import pytest

from aigc_cli.backends.train.plan import Plan, epoch_order, packed_rows, padding_share
from aigc_cli.core.errors import UsageError

LENGTHS = numpy.random.RandomState(1).lognormal(4, 1, 5003).clip(2, 512).astype(numpy.int32)


def plan(lengths: numpy.ndarray = LENGTHS, **options) -> Plan:
    defaults = {"rows_per_step": 8, "epochs": 2.0, "max_steps": None, "packing": False, "max_length": 512, "seed": 0}
    return Plan(lengths, **{**defaults, **options})


def samples(of: Plan, steps: range) -> list[int]:
    return [int(sample) for number in steps for row in of.step(number) for sample in row]


@pytest.mark.parametrize("packing", [False, True])
def test_every_sample_comes_once_in_each_epoch(packing: bool) -> None:
    made = plan(packing=packing)
    assert made.steps == 2 * made.steps_per_epoch
    first, second = range(made.steps_per_epoch), range(made.steps_per_epoch, made.steps)
    assert sorted(samples(made, first)) == sorted(samples(made, second)) == list(range(len(LENGTHS)))
    assert samples(made, first) != samples(made, second)


@pytest.mark.parametrize("packing", [False, True])
def test_a_step_depends_on_nothing_that_was_asked_before(packing: bool) -> None:
    disturbed, fresh = plan(packing=packing), plan(packing=packing)
    samples(disturbed, range(disturbed.steps))
    for number in (disturbed.steps - 1, 3):
        assert [row.tolist() for row in disturbed.step(number)] == [row.tolist() for row in fresh.step(number)]
    assert samples(plan(seed=1, packing=packing), range(5)) != samples(fresh, range(5))


def test_the_order_is_the_same_on_every_machine() -> None:
    lengths = numpy.array([5, 3, 9, 1, 7, 2, 8])
    assert epoch_order(lengths, 2, 0, 0).tolist() == [0, 1, 2, 6, 5, 3, 4]


def test_rows_of_a_step_are_of_like_length_and_padding_is_little() -> None:
    made = plan(epochs=1.0)
    planned = padding_share(made.step_lengths(number) for number in range(made.steps))
    shuffled = LENGTHS[numpy.random.RandomState(0).permutation(5000)].reshape(-1, 8).tolist()
    assert planned < 0.05 < 0.4 < padding_share(shuffled)
    assert all(step == sorted(step, reverse=True) for step in map(made.step_lengths, range(made.steps)))


def test_lengths_do_not_rise_or_fall_over_an_epoch() -> None:
    made = plan(epochs=1.0)
    means = numpy.array([numpy.mean(made.step_lengths(number)) for number in range(made.steps)])
    assert abs(numpy.corrcoef(means, numpy.arange(len(means)))[0, 1]) < 0.15


def test_packed_rows_are_nearly_full() -> None:
    rows = packed_rows(LENGTHS, 512, seed=0)
    totals = [int(LENGTHS[row].sum()) for row in rows]
    assert max(totals) <= 512
    assert len(rows) <= 1.02 * LENGTHS.sum() / 512 + 1
    assert max(len(row) for row in rows) > 1


def test_a_sample_longer_than_a_packed_row_is_an_error() -> None:
    with pytest.raises(ValueError, match="513"):
        packed_rows(numpy.array([5, 513]), 512, seed=0)


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({"epochs": 0.5}, 313),
        ({"epochs": 1.5}, 939),
        ({"epochs": 1e-6}, 1),
        ({"epochs": 3.0, "max_steps": 7}, 7),
        ({"max_steps": 5000}, 5000),
    ],
)
def test_the_number_of_steps(options: dict, steps: int) -> None:
    made = plan(**options)  # 626 steps an epoch
    assert made.steps == steps
    assert made.epoch(313) == 0.5
    assert len(made.step(steps - 1)) in (8, 3)
    with pytest.raises(IndexError):
        made.step(steps)


@pytest.mark.parametrize("count", [1, 7, 8, 9])
def test_few_samples_make_few_steps(count: int) -> None:
    made = plan(LENGTHS[:count], epochs=1.0)
    assert [len(made.step(number)) for number in range(made.steps)] == ([8] if count > 8 else []) + [count % 8 or 8]


def test_no_samples_is_an_error_one_can_read() -> None:
    with pytest.raises(UsageError, match="no row is left"):
        plan(LENGTHS[:0])


@pytest.mark.slow
def test_a_late_step_of_many_rows_comes_at_once() -> None:
    made = plan(numpy.tile(LENGTHS, 200), max_steps=10**6)
    made.step(100_000)
    started = time.perf_counter()
    for number in range(100_001, 101_001):
        made.step(number)
    assert time.perf_counter() - started < 0.5


def test_padding_share_is_what_it_says() -> None:
    assert padding_share([[4, 2], [3]]) == pytest.approx(2 / 11)
    assert padding_share([]) == 0.0

"""Which rows make which step: a function of its arguments alone, so that a resumed run goes on as if undisturbed."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence

import numpy
from numpy.random import MT19937, RandomState, SeedSequence

from aigc_cli.core.errors import UsageError

WINDOW_STEPS = 64  # steps among whose rows those of like length are brought together
WINDOW_SAMPLES = 8192  # samples that are packed against one another


def random_state(seed: int, *purpose: int) -> RandomState:
    """The old generator, for its sequences are the same in every version of numpy."""
    return RandomState(MT19937(SeedSequence([seed, *purpose])))


def epoch_order(lengths: numpy.ndarray, rows_per_step: int, seed: int, epoch: int) -> numpy.ndarray:
    """Each row once. Step n takes `rows_per_step` of them from n * rows_per_step on; the last step may have fewer.

    Rows are shuffled, then sorted by length within windows of 64 steps, then the steps are shuffled: the rows of a step are
    of like length, the longest first, and the steps come in any order.
    """
    random = random_state(seed, epoch)
    order = random.permutation(len(lengths))
    whole = len(order) - len(order) % rows_per_step
    windows = numpy.arange(whole) // (WINDOW_STEPS * rows_per_step)
    by_length = numpy.lexsort((-lengths[order[:whole]].astype(numpy.int64), windows))  # stable
    steps = order[by_length].reshape(-1, rows_per_step)
    steps = steps[random.permutation(len(steps))]
    rest = order[whole:]
    return numpy.concatenate((steps.reshape(-1), rest[numpy.argsort(-lengths[rest].astype(numpy.int64), kind="stable")]))


def packed_rows(lengths: numpy.ndarray, max_length: int, seed: int) -> list[numpy.ndarray]:
    """Samples put together into rows of at most `max_length` tokens: best-fit decreasing, within windows of shuffled samples.

    Raises: ValueError for a sample that is longer.
    """
    if len(lengths) and int(lengths.max()) > max_length:
        raise ValueError(f"a sample has {int(lengths.max())} tokens, a row at most {max_length}")
    order = random_state(seed).permutation(len(lengths))
    rows: list[numpy.ndarray] = []
    for begin in range(0, len(order), WINDOW_SAMPLES):
        window = order[begin : begin + WINDOW_SAMPLES]
        rows += best_fit(window[numpy.argsort(-lengths[window].astype(numpy.int64), kind="stable")], lengths, max_length)
    return rows


def best_fit(samples: numpy.ndarray, lengths: numpy.ndarray, max_length: int) -> list[numpy.ndarray]:
    """Each sample goes to the fullest row that still has room for it. samples: in the order in which they are placed."""
    rows: list[list[int]] = []
    rooms: list[tuple[int, int]] = []  # (tokens free, row), sorted
    for sample, length in zip(samples.tolist(), lengths[samples].tolist(), strict=True):
        at = bisect_left(rooms, (length, -1))
        if at == len(rooms):
            rows.append([])
            rooms.append((max_length, len(rows) - 1))
        room, row = rooms.pop(at)
        rows[row].append(sample)
        insort(rooms, (room - length, row))
    return [numpy.array(row) for row in rows]


class Plan:
    """The steps of a run, numbered from 0.

    lengths: tokens of each sample.  rows_per_step: batch size times accumulation, in rows; with packing a row holds
    several samples.  epochs may be a fraction; max_steps, where given, ends the run instead.
    Raises: UsageError when there are no samples.
    """

    def __init__(
        self,
        lengths: numpy.ndarray,
        *,
        rows_per_step: int,
        epochs: float,
        max_steps: int | None,
        packing: bool,
        max_length: int,
        seed: int,
    ) -> None:
        if not len(lengths):
            raise UsageError("no row is left to train on", "the rows that were left out, and why, are listed above")
        self.rows_per_step, self.seed = rows_per_step, seed
        self._packed = packed_rows(lengths, max_length, seed) if packing else None
        self.row_lengths = lengths if self._packed is None else numpy.array([int(lengths[row].sum()) for row in self._packed])
        self.steps_per_epoch = math.ceil(len(self.row_lengths) / rows_per_step)
        self.steps = max_steps or max(1, math.ceil(round(epochs * self.steps_per_epoch, 6)))
        self._cached: tuple[int, numpy.ndarray] = (-1, numpy.empty(0, dtype=numpy.int64))

    def step(self, number: int) -> list[numpy.ndarray]:
        """The rows of a step, the longest first, each an array of the samples in it."""
        return [self._samples(row) for row in self._rows_of(number)]

    def step_lengths(self, number: int) -> list[int]:
        """Tokens of the rows of a step."""
        return [int(self.row_lengths[row]) for row in self._rows_of(number)]

    def epoch(self, steps_done: int) -> float:
        """Passes over the data after so many steps."""
        return steps_done / self.steps_per_epoch

    def _rows_of(self, number: int) -> numpy.ndarray:
        if not 0 <= number < self.steps:
            raise IndexError(f"step {number} of {self.steps}")
        epoch, step = divmod(number, self.steps_per_epoch)
        if self._cached[0] != epoch:
            self._cached = (epoch, epoch_order(self.row_lengths, self.rows_per_step, self.seed, epoch))
        return self._cached[1][step * self.rows_per_step : (step + 1) * self.rows_per_step]

    def _samples(self, row: int) -> numpy.ndarray:
        return numpy.array([row]) if self._packed is None else self._packed[row]


def padding_share(batches: Iterable[Sequence[int]]) -> float:
    """The share of positions that only fill up, when rows of these lengths run together."""
    positions = tokens = 0
    for lengths in batches:
        positions += len(lengths) * max(lengths)
        tokens += sum(lengths)
    return 1 - tokens / positions if positions else 0.0

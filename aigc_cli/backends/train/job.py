"""What a run works through and what it measures with, as its loop sees them."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from aigc_cli.core.events import Event, Progress
from aigc_cli.core.finetune import Optimization, Pace
from aigc_cli.core.sample import Origin
from aigc_cli.training.report import HardRow, LabelScore, Searched

VALIDATION = "validation"


class Request(Protocol):
    """The parts of a request that the loop goes by."""

    @property
    def optimization(self) -> Optimization: ...

    @property
    def pace(self) -> Pace: ...


class Job(Protocol):
    """The steps of a run, numbered from 0: functions of their number alone, so that a resumed run goes on as if undisturbed.

    validates: whether rows were kept back to measure on.  checkpoints: the folder they go to.
    """

    @property
    def request(self) -> Request: ...

    @property
    def steps(self) -> int: ...

    @property
    def validates(self) -> bool: ...

    @property
    def checkpoints(self) -> Path: ...

    def rows(self, number: int) -> Sequence[Any]:
        """The rows of a step, as the objective takes them."""

    def origins(self, number: int) -> list[Origin]:
        """Where the samples of a step come from."""

    def epoch(self, steps_done: int) -> float:
        """Passes over the data after so many steps."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Of the answers: how well each label was told, where they are labels, and how each metric was computed."""

    labels: tuple[LabelScore, ...] = ()
    signatures: Mapping[str, str] = field(default_factory=dict)


class Measurer(Protocol):
    """Measures the weights that a learner holds. micro_batch: rows at once; running out of memory makes it smaller."""

    micro_batch: int

    def evaluate(self, split: str, step: int) -> Generator[Event, None, float]:
        """Yields a split's figures. Returns: its loss."""

    def all_figures(self, step: int, *, but: str | None = None) -> Generator[Event, None, Scores]:
        """Every split's loss, and what shows the model at work. but: a split that was measured already."""

    def hardest(self) -> Generator[Progress, None, tuple[tuple[HardRow, ...], Searched | None]]:
        """The training rows with the highest losses even now, of those that were looked at."""

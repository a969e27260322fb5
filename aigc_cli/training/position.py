"""Where a run stands: with the weights, the optimizer and the random states, all of a checkpoint."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

SMOOTHING = 0.9
SETTLED = 10  # steps after which the smoothed loss means something


@dataclass(frozen=True, kw_only=True)
class Position:
    """step: updates made.  seen: tokens, padding not counted, or pictures.  seconds: of training, evaluations not counted.

    micro_batch: rows that run together, which running out of memory makes smaller.  smoothed, lowest: of the loss,
    exponentially smoothed; lowest is the least it was.  evaluations_without_gain: since the best one.
    measured_step: of the last validation.
    """

    step: int = 0
    seen: int = 0
    seconds: float = 0.0
    micro_batch: int
    best_step: int | None = None
    best_loss: float | None = None
    evaluations_without_gain: int = 0
    measured_step: int = 0
    smoothed: float | None = None
    lowest: float | None = None

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def stepped(self, loss: float, size: int, seconds: float) -> Position:
        """After one more update."""
        smoothed = loss if self.smoothed is None else SMOOTHING * self.smoothed + (1 - SMOOTHING) * loss
        lowest = smoothed if self.lowest is None else min(self.lowest, smoothed)
        return dataclasses.replace(
            self, step=self.step + 1, seen=self.seen + size, seconds=self.seconds + seconds, smoothed=smoothed, lowest=lowest
        )

    def measured(self, loss: float) -> Position:
        """After a validation: the best so far, or one more without a gain."""
        if math.isfinite(loss) and (self.best_loss is None or loss < self.best_loss):
            return dataclasses.replace(self, measured_step=self.step, best_step=self.step, best_loss=loss, evaluations_without_gain=0)
        return dataclasses.replace(self, measured_step=self.step, evaluations_without_gain=self.evaluations_without_gain + 1)

    @property
    def is_exploding(self) -> bool:
        """Whether the loss has left the range it was in: above twice the least it was, and 2 nats more.

        One bad batch does not do that to the smoothed loss; a learning rate that is too high does within some steps.
        """
        if self.smoothed is None or self.lowest is None or self.step < SETTLED:
            return False
        return self.smoothed > 2 * self.lowest + 2.0

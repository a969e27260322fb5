"""What is learnt from rows, whatever they are: the seam between the loop of training and texts or pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

from torch import Tensor, nn

Unit = Literal["tokens", "pictures"]


class Objective(Protocol):
    """A loss that is a mean over a whole step, however its rows are cut into micro-batches.

    module: what is switched between training and measuring.  unit: what `size` counts.
    to_save_memory: advice where memory does not suffice.  learning_rate_option: with what a user sets it.
    """

    @property
    def module(self) -> nn.Module: ...

    @property
    def unit(self) -> Unit: ...

    @property
    def to_save_memory(self) -> str: ...

    @property
    def learning_rate_option(self) -> str: ...

    def weight(self, rows: Sequence[Any]) -> float:
        """What the summed losses of a step's rows are divided by: trained tokens, or pictures."""

    def loss(self, rows: Sequence[Any]) -> Tensor:
        """The sum of the rows' losses, to be differentiated."""

    def size(self, rows: Sequence[Any]) -> int:
        """How many tokens or pictures the rows hold."""

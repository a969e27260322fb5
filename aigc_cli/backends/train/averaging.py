"""An average of the weights over the steps of training, which draws better pictures than the weights of any one step.

Exponential, as in Song et al. 2021 (arXiv:2011.13456, appendix C); at the beginning over all steps so far, for what came first
would otherwise weigh for long.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from aigc_cli.backends.train.master_weights import MasterWeights


class Average:
    """decay: of what is remembered, in each step.  weights: by the names that `masters` has."""

    def __init__(self, masters: MasterWeights, decay: float) -> None:
        self._masters, self.decay = masters, decay
        self.weights: dict[str, Tensor] = {name: weight.detach().clone() for name, weight in masters.weights.items()}

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Takes in the weights after `step` updates, from 1."""
        share = max(1 - self.decay, 1 / step)
        current = [self._masters.weights[name].detach() for name in self.weights]
        torch._foreach_lerp_(list(self.weights.values()), current, share)

    def load(self, stored: Mapping[str, Tensor]) -> None:
        """Raises: KeyError for weights of another model."""
        for name, weight in self.weights.items():
            weight.copy_(stored[name])

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model holds the average meanwhile."""
        trained = {name: weight.detach().clone() for name, weight in self._masters.weights.items()}
        self._masters.hold(self.weights)
        try:
            yield
        finally:
            self._masters.hold(trained)

"""An average of the weights over the steps of training, which draws better pictures than the weights of any one step.

Exponential, as in Song et al. 2021 (arXiv:2011.13456, appendix C). At the beginning, when that would remember the first weights for
long, each step weighs as a power of its number (Karras et al. 2024, arXiv:2312.02696, section 3.1): a mean of all steps alike lags so
far behind that a young autoencoder lost 8 dB to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from aigc_cli.backends.train.master_weights import MasterWeights

POWER = 9  # of a step's number; the average then spans about a tenth of the steps so far


class Average:
    """decay: of what is remembered, in each step.  weights: by the names that `masters` has."""

    def __init__(self, masters: MasterWeights, decay: float) -> None:
        self._masters, self.decay = masters, decay
        self.weights: dict[str, Tensor] = {name: weight.detach().clone() for name, weight in masters.weights.items()}

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Takes in the weights after `step` updates, from 1."""
        share = max(1 - self.decay, (POWER + 1) / (POWER + step))
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

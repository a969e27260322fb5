"""Weights that are computed with in bfloat16 and updated in float32 (mixed precision training, arXiv:1710.03740, section 3.1).

An update is often smaller than the distance between two bfloat16 numbers: added to such a weight it would be lost. So the
optimizer moves a float32 copy, and the gradients of several micro-batches add up in float32.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn import Parameter


class MasterWeights:
    """The float32 side of what is trained; a parameter that is computed with in float32 is its own master.

    narrow: what the parameters are to be computed with in, None for float32; they are changed to it here.
    weights: by name, what the optimizer moves and checkpoints hold.
    """

    def __init__(self, parameters: Mapping[str, Parameter], narrow: torch.dtype | None) -> None:
        self.weights: dict[str, Parameter] = {}
        self._narrow: list[tuple[Parameter, Parameter]] = []  # (computed with, master)
        for name, parameter in parameters.items():
            self.weights[name] = parameter
            if narrow is None:
                parameter.data = parameter.data.float()
                continue
            self.weights[name] = master = Parameter(parameter.detach().float())
            parameter.data = master.data.to(narrow)
            parameter.register_post_accumulate_grad_hook(Widening(master))  # type: ignore[no-untyped-call]
            self._narrow.append((parameter, master))

    @torch.no_grad()
    def write_back(self) -> None:
        """Gives the model the masters' values, rounded."""
        for narrow, master in self._narrow:
            narrow.copy_(master)

    @torch.no_grad()
    def hold(self, values: Mapping[str, torch.Tensor]) -> None:
        """Puts these values into masters and model. Raises: KeyError where one is missing."""
        for name, master in self.weights.items():
            master.copy_(values[name])
        self.write_back()

    def zero_grad(self) -> None:
        for master in self.weights.values():
            master.grad = None
        for narrow, _ in self._narrow:  # left where memory ran out before its hook was done
            narrow.grad = None


class Widening:
    """A hook that moves a gradient, as soon as it is there, to the master's, and frees it."""

    def __init__(self, master: Parameter) -> None:
        self.master = master

    def __call__(self, narrow: torch.Tensor) -> None:
        assert narrow.grad is not None
        if self.master.grad is None:
            self.master.grad = narrow.grad.float()
        else:
            self.master.grad += narrow.grad
        narrow.grad = None

"""A model of which some weights are to be trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import Parameter


@dataclass(frozen=True)
class Trainable:
    """A model ready for training.

    model: the network itself, adapters within.  is_adapter: whether they alone are trained, beside frozen weights.
    peft: its wrapper around a language model.
    parameters: what is trained, by its name in `model`.  mixes_dtypes: some layers multiply float32 by narrower numbers.
    passed_over: names of matrices that would have got adapters, were they not taken for experts.
    """

    model: Any
    parameters: dict[str, Parameter]
    is_adapter: bool
    peft: Any | None = None
    mixes_dtypes: bool = False
    passed_over: tuple[str, ...] = ()

    @property
    def trained(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters.values())

    @property
    def total(self) -> int:
        return sum(number_count(parameter) for parameter in self.model.parameters())


def number_count(parameter: Parameter) -> int:
    """Weights in a parameter, of which 4-bit ones are stored two to a byte."""
    state = getattr(parameter, "quant_state", None)
    return parameter.numel() if state is None else int(torch.Size(state.shape).numel())

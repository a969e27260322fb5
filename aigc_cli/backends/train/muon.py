"""Muon for the matrices within a network, AdamW for the rest, as one optimizer.

Muon (Jordan 2024, kellerjordan.github.io/posts/muon) makes each step of a matrix orthogonal, so that all of its directions learn
alike. The first and the last layer are not matrices in that sense, nor are embeddings. A convolution is one, of its output
channels by all that it sees. Steps are as long as AdamW's would be (Liu et al. 2025, arXiv:2502.16982), so one learning rate suits both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn import Parameter

EDGES = ("embed", "lm_head", "conv_in", "conv_out", "pos_embed", "patch_embed")  # parts of names, of first and last layers
MOMENTUM, BETAS = 0.95, (0.9, 0.95)


def is_inner_matrix(name: str, weight: torch.Tensor) -> bool:
    return weight.ndim >= 2 and not any(edge in name for edge in EDGES)


def decaying_groups(parameters: list[Parameter], weight_decay: float) -> list[dict[str, Any]]:
    groups = [
        {"params": [parameter for parameter in parameters if parameter.ndim >= 2], "weight_decay": weight_decay},
        {"params": [parameter for parameter in parameters if parameter.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def as_matrix(tensor: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The weight, or what belongs to it, in two dimensions; of the weight itself a view, in whichever order its numbers lie.

    In which order the inputs come is all one to Muon.
    """
    is_channels_last = weight.ndim == 4 and not weight.is_contiguous()
    return (tensor.movedim(1, -1) if is_channels_last else tensor).flatten(1)


class MuonWithAdamW(torch.optim.Optimizer):
    """Muon for the matrices, if there are any, AdamW for the rest; the groups are those of the two."""

    def __init__(self, matrices: list[Parameter], rest: list[Parameter], learning_rate: float, weight_decay: float) -> None:
        self._matrices = matrices
        self._flat = [Parameter(as_matrix(matrix.detach(), matrix), requires_grad=False) for matrix in matrices]  # the same numbers
        self._parts: list[torch.optim.Optimizer] = []
        if matrices:
            muon = torch.optim.Muon(
                self._flat, lr=learning_rate, weight_decay=weight_decay, momentum=MOMENTUM, adjust_lr_fn="match_rms_adamw"
            )
            self._parts.append(muon)
        if rest:
            self._parts.append(torch.optim.AdamW(decaying_groups(rest, weight_decay), lr=learning_rate, betas=BETAS, fused=True))
        super().__init__([*matrices, *rest], {"lr": learning_rate})

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for matrix, flat in zip(self._matrices, self._flat, strict=True):
            flat.grad = None if matrix.grad is None else as_matrix(matrix.grad, matrix)
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = self.param_groups[0]["lr"]
            part.step()
        for flat in self._flat:
            flat.grad = None

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        for part, state in zip(self._parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)

"""The optimizer for the weights that are trained."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn import Parameter

from aigc_cli.backends.train.muon import MuonWithAdamW, decaying_groups, is_inner_matrix
from aigc_cli.core.finetune import Optimization

MOMENTUM = 0.9  # of SGD
ABSOLUTE = 1.0  # of Adafactor: its steps are the learning rate times a weight's size, or this where it is more


def make_optimizer(weights: Mapping[str, Parameter], optimization: Optimization) -> torch.optim.Optimizer:
    """weights: what is trained, by its names. Weight decay is for matrices: norms and biases, which have one dimension, are left out.

    Adafactor's steps are as long as AdamW's, so that one learning rate suits both: relative to the size of a weight, those of an
    adapter that begins at zero would be too small to move it.
    """
    trained = list(weights.values())
    learning_rate = optimization.learning_rate or 0.0  # set anew before each step
    groups = decaying_groups(trained, optimization.weight_decay)
    match optimization.optimizer:
        case "adamw":
            fused = all(parameter.device.type in ("cpu", "cuda", "mps") for parameter in trained)
            return torch.optim.AdamW(groups, lr=learning_rate, fused=fused)
        case "muon":
            inner = {name: weight for name, weight in weights.items() if is_inner_matrix(name, weight)}
            rest = [weight for name, weight in weights.items() if name not in inner]
            return MuonWithAdamW(list(inner.values()), rest, learning_rate, optimization.weight_decay)
        case "sgd":
            return torch.optim.SGD(groups, lr=learning_rate, momentum=MOMENTUM)
        case "adafactor":
            return torch.optim.Adafactor(groups, lr=learning_rate, eps=(None, ABSOLUTE))


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate

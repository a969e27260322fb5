"""The learning rate at each step, as a share of its peak."""

from __future__ import annotations

import math

from aigc_cli.core.finetune import Optimization


def learning_rate_factor(step: int, steps: int, optimization: Optimization) -> float:
    """Of update `step` (from 0) among `steps`, in (0, 1].

    A linear warm-up to 1; then "cosine" and "linear" fall towards 0, "constant" stays, and "wsd" (warmup-stable-decay,
    arXiv:2404.06395) stays until its last share `decay` of the steps, in which it falls linearly. No update has rate 0.
    """
    warmup = math.ceil(optimization.warmup * steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / max(1, steps - warmup)  # in [0, 1)
    match optimization.schedule:
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        case "linear":
            return 1 - done
        case "constant":
            return 1.0
        case "wsd":
            decay = max(1, math.ceil(optimization.decay * steps))
            return min(1.0, (steps - step) / decay)

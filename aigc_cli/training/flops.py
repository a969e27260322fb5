"""How much there is to compute in training, and so how long it takes once a few steps were timed.

A multiplication and an addition are counted each, as in "6 N per token" (Kaplan et al., arXiv:2001.08361, section 2.1): 2 N for
the forward pass, 2 N for the gradients of what a layer was given, 2 N for those of its weights.
"""

from __future__ import annotations

from aigc_cli.training.memory import Shape, Weights


def flops_per_token(shape: Shape, weights: Weights, length: int, *, gradient_checkpointing: bool = False) -> int:
    """Of one token in a row of `length`, whose loss is taken: forward and backward.

    Frozen weights need no gradients of their own, and so 4 N; checkpointing computes the layers' forward pass again.
    """
    table = shape.vocab * shape.hidden
    looked_up = 0 if shape.tied else table  # an embedding is not multiplied
    multiplied = weights.total - looked_up
    moved = weights.trained - (looked_up if weights.head_is_trained else 0)
    again = multiplied - table if gradient_checkpointing else 0
    passes = 4 if gradient_checkpointing else 3  # of attention, which has no weights: forward, again, and two gradients
    return 2 * (2 * multiplied + moved + again) + passes * attention_flops(shape, length)


def attention_flops(shape: Shape, length: int) -> int:
    """Scores and their sum over values in the forward pass, for a token that sees half of the row on average."""
    return 2 * shape.layers * shape.heads * shape.head_dim * length


def estimated_seconds(flops: float, flops_per_second: float) -> float:
    """flops_per_second: as measured on the first steps of the same run."""
    return flops / flops_per_second

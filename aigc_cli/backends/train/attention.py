"""Which of torch's attention kernels a step of training takes on a CPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from aigc_cli.backends.device import Placement

SHORT = 128 * 128  # queries times keys


def fast_attention(placement: Placement, *, recomputes: bool) -> AbstractContextManager[object]:
    """Short sequences in bfloat16 go through plain products; it may be entered again and again.

    recomputes: activations are computed again in the backward pass, which torch lets no such mode see: the fused kernel then, twice.

    The backward pass of torch 2.13's fused kernel costs 60 microseconds for each head of each row, however short it is: with 16
    tokens it is five times slower than the products, with 64 twice, with 128 a quarter; from 192 tokens on it is faster.
    """
    if placement.device == "cpu" and placement.dtype == "bfloat16" and not recomputes:
        return PlainWhereShort()
    return nullcontext()


class PlainWhereShort(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if func is scaled_dot_product_attention and _pairs(*args, **named) <= SHORT:
            with sdpa_kernel(SDPBackend.MATH):
                return func(*args, **named)
        return func(*args, **named)


def _pairs(query: torch.Tensor, key: torch.Tensor, *_: Any, **__: Any) -> int:
    return query.shape[-2] * key.shape[-2]

"""Short sequences in bfloat16 take plain products on a CPU, and give the same numbers."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from aigc_cli.backends.device import Placement
from aigc_cli.backends.train.attention import fast_attention

FUSED = "ScaledDotProductFlashAttentionForCpuBackward0"


def attend(dtype: str, queries: int, keys: int) -> tuple[str, list[torch.Tensor]]:
    """The name of the kernel's backward pass, and the gradients of query, key and value."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 3, queries, 16), (2, 3, keys, 16), (2, 3, keys, 16)]
    inputs = [torch.randn(shape, generator=generator).to(getattr(torch, dtype)).requires_grad_() for shape in shapes]
    with fast_attention(Placement("cpu", dtype, ""), recomputes=False):
        out = scaled_dot_product_attention(*inputs)
    out.float().square().sum().backward()
    assert out.grad_fn is not None
    return out.grad_fn.name(), [tensor.grad for tensor in inputs if tensor.grad is not None]


@pytest.mark.parametrize(
    ("dtype", "queries", "keys", "fused"),
    [
        ("bfloat16", 16, 24, False),
        ("bfloat16", 128, 128, False),
        ("bfloat16", 256, 256, True),
        ("float32", 16, 24, True),
    ],
)
def test_the_kernel_goes_by_dtype_and_length(dtype: str, queries: int, keys: int, fused: bool) -> None:
    name, _ = attend(dtype, queries, keys)
    assert (name == FUSED) == fused


def test_the_gradients_are_those_of_float32() -> None:
    _, narrow = attend("bfloat16", 16, 24)
    _, wide = attend("float32", 16, 24)
    assert len(narrow) == len(wide) == 3
    for ours, exact in zip(narrow, wide, strict=True):
        assert torch.allclose(ours.float(), exact, rtol=0.05, atol=0.02 * exact.abs().max().item())


def test_outside_of_it_torch_chooses() -> None:
    inputs = [torch.randn(1, 1, 8, 16, dtype=torch.bfloat16, requires_grad=True) for _ in range(3)]
    with fast_attention(Placement("cpu", "bfloat16", ""), recomputes=False):
        pass
    out = scaled_dot_product_attention(*inputs)
    assert out.grad_fn is not None
    assert out.grad_fn.name() == FUSED

"""A faster forward and backward for peft's plain LoRA layers; the layers, their names and their files stay peft's.

peft computes `W x + s B (A x)` as four autograd operations, casts the whole input to the adapter's float32 first, and keeps
what each of them needs. Here it is one operation: the small matrices are cast instead, and only x and A x are kept
(Hu et al., arXiv:2106.09685, for the method).
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from peft.tuners.lora.layer import Linear as LoraLinear
from peft.tuners.lora.layer import LoraLayer
from torch import Tensor, nn
from torch.nn import functional


class LoraProduct(torch.autograd.Function):
    """x (..., I), frozen weight (O, I) and bias (O) or None, A (R, I), B (O, R) -> (..., O) in x's dtype."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, a: Tensor, b: Tensor, scaling: float) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        small_a, small_b = a.to(x.dtype), b.to(x.dtype)
        inner = rows @ small_a.T  # (N, R)
        result = functional.linear(rows, weight, bias)
        result.addmm_(inner, small_b.T, alpha=scaling)
        ctx.save_for_backward(rows, weight, inner, a, b)
        ctx.scaling, ctx.shape = scaling, x.shape
        return result.view(*x.shape[:-1], weight.shape[0])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, inner, a, b = ctx.saved_tensors
        grad = grad.reshape(-1, grad.shape[-1])
        grad_inner = (grad @ b.to(grad.dtype)) * ctx.scaling  # (N, R)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = grad @ weight
            grad_x.addmm_(grad_inner, a.to(grad.dtype))
            grad_x = grad_x.view(ctx.shape)
        grad_a = (grad_inner.T @ rows).to(a.dtype)
        grad_b = (grad.T @ inner).to(b.dtype) * ctx.scaling
        return grad_x, None, None, grad_a, grad_b, None


def forward(layer: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Stands for peft's, where nothing but one plain adapter is at work; else peft's own runs."""
    name = layer.active_adapters[0]
    if args or kwargs or layer.disable_adapters or layer.merged or len(layer.active_adapters) != 1:
        result: Tensor = LoraLinear.forward(layer, x, *args, **kwargs)
        return result
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else layer.weight.dtype
    with torch.autocast(device, enabled=False):
        base = layer.base_layer
        product: Tensor = LoraProduct.apply(  # type: ignore[no-untyped-call]
            x.to(dtype),
            base.weight.to(dtype),
            None if base.bias is None else base.bias.to(dtype),
            layer.lora_A[name].weight,
            layer.lora_B[name].weight,
            layer.scaling[name],
        )
    return product


def speed_up(model: nn.Module) -> bool:
    """Gives every layer it suits the faster forward: plain LoRA on a frozen float matrix, without dropout.

    Returns: whether that is every layer with an adapter.
    """
    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    plain = [layer for layer in layers if is_plain(layer)]
    for layer in plain:
        layer.forward = MethodType(forward, layer)
    return len(plain) == len(layers)


def is_plain(layer: Any) -> bool:
    if type(layer) is not LoraLinear:
        return False
    names = layer.active_adapters
    if len(names) != 1 or layer.lora_variant or type(layer.base_layer) is not nn.Linear:
        return False
    is_biased = layer.lora_bias.get(names[0], False)
    return not is_biased and type(layer.lora_dropout[names[0]]) is nn.Identity and not layer.base_layer.weight.requires_grad

"""The optimizers by what they do to weights."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch.nn import Parameter

from aigc_cli.backends.train.optimizer import make_optimizer, set_learning_rate
from aigc_cli.core.errors import UsageError
from aigc_cli.core.finetune import Optimization, Optimizer


def parameters() -> list[Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [Parameter(torch.randn(shape, generator=generator)) for shape in [(8, 4), (4, 8), (8,), (4,)]]


@pytest.mark.parametrize("name", get_args(Optimizer))
def test_each_finds_a_minimum(name: Optimizer) -> None:
    weights = parameters()
    optimizer = make_optimizer(weights, Optimization(optimizer=name, learning_rate=0.05))
    losses = []
    for _ in range(200):
        loss = sum((weight - 1).square().sum() for weight in weights)
        assert isinstance(loss, torch.Tensor)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 20


@pytest.mark.parametrize("scale", [0.0, 0.02, 0.3])
def test_adafactor_moves_small_weights_as_far_as_adamw_does(scale: float) -> None:
    """An adapter begins at zero, and a model's matrices are small."""
    moved = []
    for name in ("adamw", "adafactor"):
        weight = Parameter(scale * torch.ones(8, 4))
        optimizer = make_optimizer([weight], Optimization(optimizer=name, learning_rate=1e-3))
        weight.grad = torch.full_like(weight, 1e-4)
        optimizer.step()
        moved.append(float((weight.detach() - scale).abs().mean()))
    assert moved[1] == pytest.approx(moved[0], rel=0.01)


def test_sgd_has_no_learning_rate_of_its_own() -> None:
    with pytest.raises(UsageError, match="--optimizer sgd wants a --learning-rate"):
        Optimization(optimizer="sgd")


@pytest.mark.parametrize("name", get_args(Optimizer))
def test_decay_draws_matrices_to_zero_and_spares_the_rest(name: Optimizer) -> None:
    weights = parameters()
    before = [weight.detach().clone() for weight in weights]
    optimizer = make_optimizer(weights, Optimization(optimizer=name, learning_rate=0.1, weight_decay=0.5))
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    for weight, old in zip(weights, before, strict=True):
        torch.testing.assert_close(weight.detach(), old * 0.95 if weight.ndim == 2 else old)


@pytest.mark.parametrize("name", get_args(Optimizer))
def test_a_learning_rate_of_zero_moves_nothing(name: Optimizer) -> None:
    weights = parameters()
    before = [weight.detach().clone() for weight in weights]
    optimizer = make_optimizer(weights, Optimization(optimizer=name, learning_rate=0.1, weight_decay=0.5))
    set_learning_rate(optimizer, 0.0)
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    assert all(torch.equal(weight, old) for weight, old in zip(weights, before, strict=True))


def test_adapters_alone_make_no_empty_group() -> None:
    optimizer = make_optimizer(parameters()[:2], Optimization())
    assert [len(group["params"]) for group in optimizer.param_groups] == [2]

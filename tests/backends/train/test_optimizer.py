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


def named(weights: list[Parameter]) -> dict[str, Parameter]:
    return {f"layers.{number}.weight": weight for number, weight in enumerate(weights)}


@pytest.mark.parametrize("name", get_args(Optimizer))
def test_each_finds_a_minimum(name: Optimizer) -> None:
    weights = parameters()
    optimizer = make_optimizer(named(weights), Optimization(optimizer=name, learning_rate=0.05))
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
        optimizer = make_optimizer(named([weight]), Optimization(optimizer=name, learning_rate=1e-3))
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
    optimizer = make_optimizer(named(weights), Optimization(optimizer=name, learning_rate=0.1, weight_decay=0.5))
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    optimizer.step()
    for weight, old in zip(weights, before, strict=True):
        torch.testing.assert_close(weight.detach(), old * 0.95 if weight.ndim == 2 else old)


@pytest.mark.parametrize("name", get_args(Optimizer))
def test_a_learning_rate_of_zero_moves_nothing(name: Optimizer) -> None:
    weights = parameters()
    before = [weight.detach().clone() for weight in weights]
    optimizer = make_optimizer(named(weights), Optimization(optimizer=name, learning_rate=0.1, weight_decay=0.5))
    set_learning_rate(optimizer, 0.0)
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    assert all(torch.equal(weight, old) for weight, old in zip(weights, before, strict=True))


def test_adapters_alone_make_no_empty_group() -> None:
    optimizer = make_optimizer(named(parameters()[:2]), Optimization())
    assert [len(group["params"]) for group in optimizer.param_groups] == [2]


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_muon_learns_a_convolution_as_the_matrix_that_it_is(order: torch.memory_format) -> None:
    flat = Parameter(torch.randn(8, 18, generator=torch.Generator().manual_seed(0)))
    convolution = Parameter(flat.detach().clone().view(8, 2, 3, 3).contiguous(memory_format=order))
    for weight in (flat, convolution):
        optimizer = make_optimizer({"conv.weight": weight}, Optimization(optimizer="muon", learning_rate=0.1))
        weight.grad = torch.linspace(-1, 1, weight.numel()).reshape(weight.shape)
        optimizer.step()
    torch.testing.assert_close(convolution.detach().flatten(1), flat.detach(), rtol=0, atol=0.03 * 0.1)  # it computes in bfloat16


def test_muon_leaves_the_first_and_the_last_layer_to_adamw() -> None:
    """Its steps are orthogonal: with a gradient of rank one, AdamW's are not."""
    steps = {}
    for name in ("layers.0.weight", "embed_tokens.weight", "lm_head.weight", "conv_in.weight"):
        weight = Parameter(torch.zeros(4, 4))
        optimizer = make_optimizer({name: weight}, Optimization(optimizer="muon", learning_rate=0.1))
        weight.grad = torch.diag(torch.tensor([1.0, 1e-1, 1e-2, 1e-3]))
        optimizer.step()
        steps[name] = weight.detach()
    by_adamw = torch.diag(torch.full((4,), -0.1))
    for name, step in steps.items():
        assert torch.allclose(step, by_adamw, atol=1e-4) == (name != "layers.0.weight"), name


def test_muon_goes_on_from_its_state() -> None:
    def stepped(optimizer: torch.optim.Optimizer, weights: list[Parameter], times: int) -> None:
        for _ in range(times):
            for weight in weights:
                weight.grad = (weight - 1).detach()
            optimizer.step()

    whole, parts = parameters(), parameters()
    settings = Optimization(optimizer="muon", learning_rate=0.05)
    stepped(make_optimizer(named(whole), settings), whole, 6)
    first = make_optimizer(named(parts), settings)
    stepped(first, parts, 3)
    rest = make_optimizer(named(parts), settings)
    rest.load_state_dict(first.state_dict())
    stepped(rest, parts, 3)
    assert all(torch.equal(a, b) for a, b in zip(whole, parts, strict=True))

"""Operations per token: the rules of thumb that everybody knows, and where they end."""

from __future__ import annotations

from dataclasses import replace

from aigc_cli.training.flops import attention_flops, estimated_seconds, flops_per_token
from aigc_cli.training.memory import Shape, Weights

SHAPE = Shape(
    layers=2, hidden=8, intermediate=16, heads=2, kv_heads=1, head_dim=4, vocab=32, tied=True, mlp_tensors=4, norm_width=16, norm_copies=1
)
FULL = Weights(total=1000, trained=1000, is_adapter=False, head_is_trained=True)


def test_full_training_takes_six_operations_a_parameter() -> None:
    assert flops_per_token(SHAPE, FULL, length=0) == 6 * 1000


def test_frozen_weights_take_four_and_adapters_six() -> None:
    lora = Weights(total=1100, trained=100, is_adapter=True, head_is_trained=False)
    assert flops_per_token(SHAPE, lora, length=0) == 4 * 1000 + 6 * 100


def test_an_embedding_that_is_not_the_head_is_looked_up_not_multiplied() -> None:
    untied = replace(SHAPE, tied=False)
    assert flops_per_token(untied, FULL, length=0) == 6 * (1000 - 32 * 8)


def test_checkpointing_computes_the_layers_once_more_but_not_the_head() -> None:
    assert flops_per_token(SHAPE, FULL, length=0, gradient_checkpointing=True) == 6 * 1000 + 2 * (1000 - 32 * 8)


def test_attention_grows_with_the_row() -> None:
    assert attention_flops(SHAPE, 10) == 2 * (2 * 10 * 8)  # two layers; scores and values, of half of the row, 8 numbers wide
    assert flops_per_token(SHAPE, FULL, length=10) - flops_per_token(SHAPE, FULL, length=0) == 3 * attention_flops(SHAPE, 10)


def test_seconds_follow_from_a_measured_speed() -> None:
    assert estimated_seconds(6e12, 2e9) == 3000.0

"""The memory formula: against sums done by hand, and how it answers to each setting."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aigc_cli.training.memory import (
    CPU_SLACK,
    RUNTIME,
    Batch,
    Shape,
    SlowAdapters,
    Weights,
    footprint,
    layer_bytes,
    optimizer_bytes,
    score_bytes,
)

SHAPE = Shape(
    layers=2, hidden=8, intermediate=16, heads=2, kv_heads=1, head_dim=4, vocab=32, tied=True, mlp_tensors=4, norm_width=16, norm_copies=1
)
LORA = Weights(total=1100, trained=100, is_adapter=True, head_is_trained=False)
FULL = Weights(total=1000, trained=1000, is_adapter=False, head_is_trained=True)
BATCH = Batch(rows=2, length=5, weight_bytes=2, compute_bytes=2)


def test_a_layer_keeps_what_its_operations_need_for_their_gradients() -> None:
    matrix_inputs, attention, mlp = 8 + 8 + 8, (8 + 8) + (4 + 4), 4 * 16
    in_float32 = 16 + 2  # the norms' inputs, and a number for each head from the softmax
    assert layer_bytes(SHAPE, LORA, BATCH) == 10 * (2 * (matrix_inputs + attention + mlp) + 4 * in_float32)
    assert layer_bytes(SHAPE, FULL, BATCH) - layer_bytes(SHAPE, LORA, BATCH) == 10 * 2 * 16  # what the norms' weights multiply


def test_adapters_are_held_in_float32_beside_narrow_frozen_weights() -> None:
    parts = footprint(SHAPE, LORA, BATCH)
    assert (parts.weights, parts.adapters, parts.optimizer) == (1000 * 2, 100 * 4, 100 * 8)


def test_full_training_holds_narrow_weights_their_float32_masters_and_two_moments() -> None:
    parts = footprint(SHAPE, FULL, BATCH)
    assert (parts.weights, parts.adapters, parts.optimizer) == (1000 * 6, 0, 1000 * 8)


def test_weights_in_float32_are_their_own_masters_and_autocast_holds_a_narrow_copy() -> None:
    wide = replace(BATCH, weight_bytes=4, compute_bytes=4)
    assert footprint(SHAPE, FULL, wide).weights == 4000
    assert footprint(SHAPE, FULL, replace(wide, compute_bytes=2)).weights == 6000


def test_gradients_that_add_up_are_there_during_the_forward_pass() -> None:
    once, adding_up = (footprint(SHAPE, FULL, replace(BATCH, rows=64, accumulates=value)) for value in (False, True))
    assert once.activations == adding_up.activations
    assert adding_up.gradients - once.gradients == 4 * 1000


def test_with_little_data_the_biggest_moment_is_when_all_gradients_are_there() -> None:
    parts = footprint(SHAPE, replace(FULL, total=10**6, trained=10**6), replace(BATCH, rows=1))
    assert parts.logits == 0
    assert parts.gradients == 4 * 10**6 + 4 * 32 * 8


@pytest.mark.parametrize(("optimizer", "numbers"), [("adamw", 200), ("sgd", 100), ("adafactor", 30)])
def test_optimizers_keep_two_moments_one_or_a_row_and_a_column(optimizer: str, numbers: int) -> None:
    assert optimizer_bytes(replace(LORA, factored=30), optimizer) == 4 * numbers  # type: ignore[arg-type]


def test_checkpointing_keeps_each_layers_input_and_all_of_one_layer() -> None:
    batch = replace(BATCH, rows=64, gradient_checkpointing=True)
    parts = footprint(SHAPE, LORA, batch)
    assert parts.activations == 2 * batch.tokens * 8 * 2 + layer_bytes(SHAPE, LORA, batch)


def test_holes_that_malloc_keeps_are_counted_on_a_cpu_by_what_stays() -> None:
    batch = replace(BATCH, rows=64)
    plain, checkpointed = (footprint(SHAPE, LORA, replace(batch, gradient_checkpointing=value)) for value in (False, True))
    assert plain.allocator == int(CPU_SLACK * plain.activations)
    assert checkpointed.allocator == 3 * (2 * batch.tokens * 8 * 2)


def test_dora_keeps_two_outputs_of_every_matrix_and_dropout_what_it_drew() -> None:
    def kept(is_dora: bool, has_dropout: bool) -> int:
        slow = SlowAdapters(inputs=2 * 40, outputs=2 * 50, squares=2 * 300, is_dora=is_dora, has_dropout=has_dropout)
        return layer_bytes(SHAPE, replace(LORA, slow_adapters=slow), BATCH) - layer_bytes(SHAPE, LORA, BATCH)

    assert kept(False, False) == 0  # every input is another
    assert kept(True, False) == 10 * 2 * 50 * 2 + 300 * 2
    assert kept(False, True) == 10 * 40 * 4


def test_only_scores_and_masks_grow_with_the_square_of_the_length() -> None:
    longer = replace(BATCH, length=10)
    assert layer_bytes(SHAPE, LORA, longer) == 2 * layer_bytes(SHAPE, LORA, BATCH)
    assert score_bytes(replace(SHAPE, keeps_scores=True), longer) == 4 * score_bytes(replace(SHAPE, keeps_scores=True), BATCH)
    assert score_bytes(SHAPE, replace(longer, is_masked=True)) == 2 * 10 * 10 * 2


def test_the_loss_never_holds_all_logits() -> None:
    wide = replace(SHAPE, vocab=150_000)
    some, many = (footprint(wide, LORA, replace(BATCH, rows=rows)).logits for rows in (1_000, 10_000))
    assert many - some == 2 * 9_000 * 5 * 8 * 2  # hidden states alone


def test_what_is_quantized_takes_nine_bits_for_two_numbers() -> None:
    assert footprint(SHAPE, replace(LORA, quantized=800), BATCH).weights == 200 * 2 + 450


def test_on_a_gpu_python_does_not_count() -> None:
    on_cpu, on_gpu = (footprint(SHAPE, LORA, replace(BATCH, is_cpu=value)) for value in (True, False))
    assert (on_cpu.runtime, on_gpu.runtime) == (RUNTIME, 0)
    assert on_gpu.allocator < on_cpu.allocator


def test_the_total_is_the_sum_of_the_parts() -> None:
    parts = footprint(SHAPE, FULL, BATCH)
    assert sum(size for _, size in parts.parts) == parts.total
    assert [name for name, _ in parts.parts][:3] == ["runtime", "weights", "adapters"]

"""One update of the weights: cut into micro-batches, out of memory, gone wrong, abandoned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from transformers import AutoModelForCausalLM

from aigc_cli.backends.device import Placement
from aigc_cli.backends.train.learner import Learner
from aigc_cli.backends.train.master_weights import Widening
from aigc_cli.backends.train.text.collate import Padding
from aigc_cli.backends.train.text.learner import text_learner
from aigc_cli.backends.train.text.methods import prepare
from aigc_cli.backends.train.text.objective import NextTokens
from aigc_cli.backends.train.text.token_store import Row
from aigc_cli.backends.train.update import Abandoned, NotFiniteError
from aigc_cli.core.errors import OutOfMemoryError
from aigc_cli.core.finetune import DataChoice, FinetuneRequest, Method, Optimization, Pace, Tuning
from tests.backends.tiny_models import VOCAB_SIZE, build_model

CPU = Placement("cpu", "float32", "")


def learner_of(
    folder: Path,
    *,
    architecture: str = "llama",
    method: Method = "full",
    placement: Placement = CPU,
    micro_batch: int = 8,
    tuning: dict[str, Any] | None = None,
    **options: Any,
) -> Learner[NextTokens]:
    model = AutoModelForCausalLM.from_pretrained(build_model(folder / architecture, architecture))
    request = FinetuneRequest(
        model="m",
        data=DataChoice(paths=("d",)),
        tuning=Tuning(method=method, lora_rank=4, **(tuning or {})),
        optimization=Optimization(optimizer="sgd", learning_rate=0.5, **options),
        pace=Pace(batch_size=micro_batch),
    )
    return text_learner(prepare(model, request.tuning, seed=0), request, placement, Padding(0))


def rows_of(lengths: list[int]) -> list[list[Row]]:
    """Rows of which different shares are trained, so that a mean of means would be another number."""
    generator = numpy.random.default_rng(0)
    rows = []
    for number, length in enumerate(lengths):
        trained = numpy.arange(length) >= length * number // (number + 1)
        rows.append([Row(generator.integers(VOCAB_SIZE, size=length).astype(numpy.int32), trained)])
    return rows


def update(learner: Learner[NextTokens], rows: list[list[Row]], learning_rate: float = 0.5) -> float:
    return learner.updater.update(rows, learning_rate, lambda: False).loss


def weights(learner: Learner[NextTokens]) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in learner.masters.weights.items()}


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("micro_batch", [1, 2, 3])
def test_accumulating_equals_a_big_batch(tmp_path: Path, method: Method, micro_batch: int) -> None:
    rows = rows_of([20, 33, 9, 27, 40])
    whole = learner_of(tmp_path / "whole", method=method, micro_batch=5)
    pieces = learner_of(tmp_path / "pieces", method=method, micro_batch=micro_batch)
    for _ in range(3):
        assert update(pieces, rows) == pytest.approx(update(whole, rows), rel=1e-5)
    for name, weight in weights(whole).items():
        torch.testing.assert_close(weights(pieces)[name], weight, rtol=1e-4, atol=1e-5, msg=name)


def test_the_loss_of_a_step_is_the_mean_over_its_trained_tokens(tmp_path: Path) -> None:
    learner = learner_of(tmp_path)
    rows = rows_of([20, 33])
    model = learner.trainable.model
    total = count = 0.0
    for [row] in rows:
        ids = torch.from_numpy(row.ids.astype(numpy.int64))[None]
        with torch.no_grad():
            losses = torch.nn.functional.cross_entropy(model(input_ids=ids).logits[0, :-1], ids[0, 1:], reduction="none")
        chosen = torch.from_numpy(row.trained[1:])
        total, count = total + float(losses[chosen].sum()), count + int(chosen.sum())
    assert update(learner, rows) == pytest.approx(total / count, rel=1e-5)


def test_training_in_bfloat16_keeps_updates_that_are_smaller_than_its_digits(tmp_path: Path) -> None:
    learner = learner_of(tmp_path, placement=Placement("cpu", "bfloat16", ""))
    assert learner.trainable.model.dtype == torch.bfloat16
    before = weights(learner)
    rows = rows_of([20, 33])
    for _ in range(4):
        update(learner, rows, learning_rate=1e-4)
    for name, weight in weights(learner).items():
        assert weight.dtype == torch.float32
        assert not torch.equal(weight, before[name]), name
        torch.testing.assert_close(dict(learner.trainable.model.named_parameters())[name].float(), weight.bfloat16().float())


def test_out_of_memory_halves_the_micro_batch_and_the_step_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of([20, 33, 9, 27, 40])
    roomy, tight = learner_of(tmp_path / "a"), learner_of(tmp_path / "b")
    torch.manual_seed(0)
    expected = update(roomy, rows)
    sizes = []
    forward = tight.objective.module.forward

    def with_little_memory(batch: dict[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        sizes.append(len(labels))
        if len(labels) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(batch, labels)

    monkeypatch.setattr(tight.objective.module, "forward", with_little_memory)
    torch.manual_seed(0)
    found = update(tight, rows)
    assert sizes == [5, 3, 2, 2, 1]
    assert tight.updater.micro_batch == 2
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_gradient_left_when_memory_ran_out_is_not_added_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bfloat16, rows = Placement("cpu", "bfloat16", ""), rows_of([20, 33])
    roomy, tight = learner_of(tmp_path / "a", placement=bfloat16, micro_batch=1), learner_of(tmp_path / "b", placement=bfloat16)
    update(roomy, rows)
    widen = Widening.__call__

    def without_memory(widening: Widening, narrow: torch.Tensor) -> None:
        monkeypatch.setattr(Widening, "__call__", widen)
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Widening, "__call__", without_memory)
    update(tight, rows)
    assert tight.updater.micro_batch == 1
    for name, weight in weights(roomy).items():
        assert torch.equal(weights(tight)[name], weight), name


def test_one_row_that_is_too_much_is_out_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = learner_of(tmp_path)

    def without_memory(*args: Any) -> torch.Tensor:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(learner.objective.module, "forward", without_memory)
    before = weights(learner)
    with pytest.raises(OutOfMemoryError):
        update(learner, rows_of([20, 33]))
    assert all(torch.equal(weight, before[name]) for name, weight in weights(learner).items())


def test_an_optimizer_without_memory_is_out_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = learner_of(tmp_path)

    def without_memory() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(learner.optimizer, "step", without_memory)
    with pytest.raises(OutOfMemoryError) as raised:
        update(learner, rows_of([20, 33]))
    assert "--gradient-checkpointing" in raised.value.hint  # not the advice for generating


@pytest.mark.parametrize("stop_after", [0, 1, 2])
def test_an_abandoned_step_leaves_no_trace(tmp_path: Path, stop_after: int) -> None:
    rows = rows_of([20, 33, 9, 27])
    learner = learner_of(tmp_path, architecture="gpt2", micro_batch=1)  # with dropout
    before, random_before = weights(learner), torch.get_rng_state()
    asked = iter([False] * stop_after + [True])
    with pytest.raises(Abandoned):
        learner.updater.update(rows, 0.5, lambda: next(asked))
    assert all(torch.equal(weight, before[name]) for name, weight in weights(learner).items())
    assert torch.equal(torch.get_rng_state(), random_before)
    assert all(weight.grad is None for weight in learner.masters.weights.values())


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_changes_nothing(tmp_path: Path, poison: float) -> None:
    learner = learner_of(tmp_path)
    with torch.no_grad():
        learner.trainable.model.model.norm.weight[0] = poison
    before = weights(learner)
    with pytest.raises(NotFiniteError):
        update(learner, rows_of([20, 33]))
    for name, weight in weights(learner).items():
        torch.testing.assert_close(weight, before[name], equal_nan=True, rtol=0, atol=0)


def test_gradients_are_clipped_to_the_norm_asked_for(tmp_path: Path) -> None:
    rows = rows_of([20, 33])
    free, clipped = learner_of(tmp_path / "a", max_grad_norm=0.0), learner_of(tmp_path / "b", max_grad_norm=0.01)
    before = weights(free)
    norm = free.updater.update(rows, 1.0, lambda: False).grad_norm
    clipped.updater.update(rows, 1.0, lambda: False)
    for name, weight in before.items():
        whole, short = weights(free)[name] - weight, weights(clipped)[name] - weight
        torch.testing.assert_close(short, whole * 0.01 / norm, rtol=1e-2, atol=1e-6)


@pytest.mark.parametrize(("dtype", "rounding"), [("float32", 0), ("bfloat16", 1e-2)])  # the latter by another kernel
def test_gradient_checkpointing_changes_no_number(tmp_path: Path, dtype: str, rounding: float) -> None:
    rows = rows_of([20, 33])
    placement = Placement("cpu", dtype, "")
    plain = learner_of(tmp_path / "a", placement=placement)
    checkpointed = learner_of(tmp_path / "b", placement=placement, gradient_checkpointing=True)
    assert checkpointed.trainable.model.is_activation_checkpointing
    for _ in range(2):
        assert update(plain, rows) == pytest.approx(update(checkpointed, rows), rel=rounding)


def test_weight_decay_spares_norms_and_biases(tmp_path: Path) -> None:
    learner = learner_of(tmp_path, architecture="gpt2", weight_decay=0.1)
    decays = {id(weight): group["weight_decay"] for group in learner.optimizer.param_groups for weight in group["params"]}
    for name, weight in learner.masters.weights.items():
        is_matrix = name.endswith("weight") and ".ln_" not in name
        assert decays[id(weight)] == (0.1 if is_matrix else 0.0), name


@pytest.mark.parametrize(("method", "frozen"), [("freeze", torch.float32), ("lora", torch.float16)])
def test_in_float16_all_weights_can_be_computed_with_without_autocast(tmp_path: Path, method: Method, frozen: torch.dtype) -> None:
    """As answers are given. Only a GPU scales float16's gradients: here the weights alone are looked at."""
    options = {"train_layers": "last:1"} if method == "freeze" else {}
    learner = learner_of(tmp_path, method=method, placement=Placement("cpu", "float16", ""), tuning=options)
    model = learner.trainable.model.eval()
    assert {weight.dtype for weight in model.parameters() if not weight.requires_grad} == {frozen}
    assert {weight.dtype for weight in model.parameters() if weight.requires_grad} == {torch.float32}
    with torch.no_grad():
        assert torch.isfinite(model(input_ids=torch.arange(9)[None]).logits).all()

"""The memory estimate against what autograd really keeps, and against what training really makes of a model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from aigc_cli.backends.device import Placement
from aigc_cli.backends.train.misfit import check_memory, memory_there
from aigc_cli.backends.train.text import loss
from aigc_cli.backends.train.text.footprint import Case, count_weights, open_case, read_shape
from aigc_cli.backends.train.text.methods import prepare
from aigc_cli.core.errors import ExitStatus, OutOfMemoryError, UsageError
from aigc_cli.core.finetune import DataChoice, FinetuneRequest, Optimization, Pace, Tuning
from aigc_cli.training import memory
from tests.backends.tiny_models import ARCHITECTURES

WIDE = {"hidden_size": 128, "intermediate_size": 320, "num_attention_heads": 8, "num_key_value_heads": 4}
WIDER = {"gpt2": {"n_embd": 128, "n_head": 8}, "qwen3": {**WIDE, "head_dim": 16}, "gemma": {**WIDE, "head_dim": 16}}
ROWS, LENGTH = 2, 64


def config_of(architecture: str, **overrides: Any) -> Any:
    """Wide enough that the numbers a family keeps for each row, and not for each of its numbers, do not count."""
    config_class, small = ARCHITECTURES[architecture]
    special = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    return config_class(**{**small, **WIDER.get(architecture, WIDE), **special, **overrides})


def request_of(method: str = "full", **pace: int) -> FinetuneRequest:
    tuning = Tuning(method=method, train_layers="last:1" if method == "freeze" else None)  # type: ignore[arg-type]
    return FinetuneRequest(model="m", data=DataChoice(paths=("rows.jsonl",)), tuning=tuning, pace=Pace(**pace))  # type: ignore[arg-type]


def case_of(config: Any, request: FinetuneRequest, *, longest: int = 1024, dtype: str = "bfloat16") -> Case:
    case = open_case(config, request, Placement("cpu", dtype, ""), longest=longest)
    assert case is not None
    return case


def bytes_kept(model: Any) -> int:
    """Of all tensors that a forward pass keeps for the backward pass, parameters left out; each storage once."""
    owned = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    tensors: list[torch.Tensor] = []  # held, so that no address is used twice

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        tensors.append(tensor)
        return tensor

    ids = torch.randint(1, model.config.vocab_size, (ROWS, LENGTH))
    positions = torch.arange(LENGTH).expand(ROWS, -1)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.base_model(input_ids=ids, position_ids=positions, use_cache=False)
    sizes = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(size for address, size in sizes.items() if address not in owned)


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3", "mistral", "gemma", "phi", "gpt2"])
def test_the_formula_counts_what_autograd_keeps(architecture: str, method: str) -> None:
    config = config_of(architecture, num_hidden_layers=4)
    case = case_of(config, request_of(method, batch_size=ROWS), longest=LENGTH, dtype="float32")
    model = AutoModelForCausalLM.from_config(config)
    prepare(model, case.request.tuning, seed=0)
    estimated = case.shape.layers * memory.layer_bytes(case.shape, case.weights, case.batch)
    assert estimated == pytest.approx(bytes_kept(model.train()), rel=0.12)


@pytest.mark.parametrize("tuning", [Tuning(method="dora"), Tuning(lora_dropout=0.1), Tuning(method="dora", lora_dropout=0.1)])
def test_the_formula_counts_what_pefts_own_operations_keep(tuning: Tuning) -> None:
    config = config_of("llama", num_hidden_layers=4)
    case = case_of(config, replace(request_of(batch_size=ROWS), tuning=tuning), longest=LENGTH, dtype="float32")
    model = AutoModelForCausalLM.from_config(config)
    prepare(model, tuning, seed=0)
    estimated = case.shape.layers * memory.layer_bytes(case.shape, case.weights, case.batch)
    assert estimated == pytest.approx(bytes_kept(model.train()), rel=0.15)


@pytest.mark.parametrize("method", ["full", "freeze", "lora", "dora"])
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_parameters_are_counted_without_weights_as_training_has_them(architecture: str, method: str) -> None:
    config, tuning = config_of(architecture), request_of(method).tuning
    trainable = prepare(AutoModelForCausalLM.from_config(config), tuning, seed=0)
    weights = count_weights(config, tuning)
    assert (weights.total, weights.trained) == (trainable.total, trainable.trained)
    assert weights.head_is_trained == (method == "full")


def test_a_model_of_any_size_is_counted_in_no_memory() -> None:
    huge = config_of("llama", hidden_size=16384, intermediate_size=53248, num_hidden_layers=4, num_attention_heads=128)
    before = torch.get_rng_state()
    assert count_weights(huge, Tuning()).total > 10**10
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("architecture", "overrides", "expected"),
    [
        ("llama", {}, {"heads": 8, "kv_heads": 4, "head_dim": 16, "mlp_tensors": 4, "norm_width": 256, "norm_copies": 1, "tied": False}),
        ("qwen3", {}, {"norm_width": 256 + 128 + 64}),
        ("gemma", {}, {"tied": True}),
        ("gpt2", {}, {"intermediate": 512, "mlp_tensors": 5, "norm_copies": 0, "dropout_width": 256, "keeps_scores": True}),
        ("gpt2", {"attn_pdrop": 0.0, "resid_pdrop": 0.0}, {"dropout_width": 0, "keeps_scores": False}),
    ],
)
def test_the_traits_of_a_family_are_read_off_its_layers(architecture: str, overrides: dict[str, Any], expected: dict[str, Any]) -> None:
    shape = read_shape(config_of(architecture, **overrides))
    assert shape is not None
    assert {name: getattr(shape, name) for name in expected} == expected


def test_target_modules_that_match_nothing_are_refused() -> None:
    tuning = Tuning(target_modules="qqq_proj")
    with pytest.raises(UsageError, match="qqq_proj"):
        count_weights(config_of("llama"), tuning)


def test_of_a_family_without_attention_nothing_is_foretold() -> None:
    config_class, small = ARCHITECTURES["mamba"]
    assert open_case(config_class(**small), request_of(), Placement("cpu", "float32", ""), longest=8) is None


def test_the_loss_and_the_formula_agree_on_how_many_logits_there_are_at_once() -> None:
    assert memory.LOGITS_AT_ONCE == loss.CHUNK_NUMBERS


def test_advice_goes_from_what_costs_least_until_it_fits() -> None:
    case = case_of(config_of("llama", num_hidden_layers=32), request_of(batch_size=32))
    options = ["--gradient-checkpointing", "--batch-size", "--method lora", "--max-length 512"]
    for count, room in enumerate((1600, 300, 80, 60), start=1):
        lines = case.advice(memory.RUNTIME + room * 2**20)
        assert [line.removeprefix("then ").startswith(option) for line, option in zip(lines, options, strict=False)] == [True] * count


def test_a_change_that_brings_little_is_not_advised_where_another_suffices() -> None:
    case = case_of(config_of("llama", hidden_size=1024, intermediate_size=4096), request_of(batch_size=2), longest=8)
    (line,) = case.advice(case.estimate().total * 2 // 3)
    assert line.startswith("--method lora takes ")


def test_a_smaller_batch_that_is_advised_fits_and_keeps_the_step() -> None:
    case = case_of(config_of("llama"), request_of(batch_size=6, gradient_accumulation_steps=2))
    case = replace(case, request=replace(case.request, optimization=Optimization(gradient_checkpointing=True)))
    there = replace(case, request=replace(case.request, pace=Pace(batch_size=3, gradient_accumulation_steps=4))).estimate().total
    (line,) = case.advice(there)
    assert line.startswith("--batch-size 3 --gradient-accumulation-steps 4 takes ")


def test_a_run_that_cannot_fit_is_refused_with_numbers_and_advice() -> None:
    case = case_of(config_of("llama", num_hidden_layers=64), request_of(batch_size=64))
    with pytest.raises(OutOfMemoryError, match=r"would take about .* GiB \(activations .*\), and cpu has room for 600.0 MiB") as error:
        check_memory(case, 600 * 2**20)
    assert error.value.status == ExitStatus.OUT_OF_MEMORY
    assert "--gradient-checkpointing takes" in error.value.hint
    check_memory(case, case.estimate().total)


def test_where_nothing_helps_it_says_so() -> None:
    assert case_of(config_of("llama"), request_of()).advice(0)[-1] == "that is still too much: choose a smaller model"


def test_the_room_on_a_cpu_includes_what_the_process_has_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aigc_cli.backends.train.misfit.memory_free", lambda device: 1000)
    assert memory_there("cuda:0") == 1000
    assert memory_there("cpu") > 10 * 2**20

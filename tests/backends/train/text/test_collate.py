"""Batches: labels that are the next token, and samples in one row that do not see one another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from transformers import AutoModelForCausalLM

from aigc_cli.backends.train.text.collate import Padding, can_pack, collate
from aigc_cli.backends.train.text.token_store import Row
from tests.backends.tiny_models import VOCAB_SIZE, build_model

PACKABLE = ["gpt2", "llama", "qwen2", "qwen3", "gemma", "gemma2", "mistral", "phi"]
RECURRENT = ["mamba", "rwkv"]


def row(ids: list[int], trained: str) -> Row:
    return Row(numpy.array(ids, dtype=numpy.int32), numpy.array([mark == "x" for mark in trained]))


def random_row(length: int, seed: int) -> Row:
    ids = numpy.random.RandomState(seed).randint(3, VOCAB_SIZE, length)
    return Row(ids.astype(numpy.int32), numpy.ones(length, dtype=bool))


def model_of(folder: Path, architecture: str, **options: Any) -> Any:
    return AutoModelForCausalLM.from_pretrained(build_model(folder, architecture), **options).eval()


def logits(model: Any, *rows: list[Row]) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(**collate(rows, Padding(0), "cpu").inputs, use_cache=False).logits
    return found


def test_labels_are_the_next_tokens_that_are_learnt() -> None:
    batch = collate([[row([5, 6, 7, 8], "..xx")], [row([9, 10], ".x")]], Padding(0), "cpu")
    assert batch.input_ids.tolist() == [[5, 6, 7, 8], [9, 10, 0, 0]]
    assert batch.labels.tolist() == [[-100, 7, 8, -100], [10, -100, -100, -100]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3], [0, 1, 2, 3]]
    assert batch.input_ids.dtype == batch.labels.dtype == torch.int64


def test_rows_are_filled_up_to_a_width_that_batches_share_but_not_beyond_the_longest_of_the_run() -> None:
    """A model may have no position beyond."""
    batch = collate([[row([5, 6, 7], ".xx")], [row([8], "x")]], Padding(1, longest=20), "cpu")
    assert batch.input_ids.tolist() == [[5, 6, 7, 1, 1, 1, 1, 1], [8, 1, 1, 1, 1, 1, 1, 1]]
    assert batch.position_ids.tolist() == [list(range(8))] * 2
    assert batch.labels.tolist() == [[6, 7, *[-100] * 6], [-100] * 8]
    assert collate([[random_row(17, 0)]], Padding(1, longest=20), "cpu").input_ids.shape == (1, 20)


def test_labels_never_cross_from_one_sample_to_the_next() -> None:
    batch = collate([[row([5, 6], "xx"), row([7], "x"), row([8, 9], "xx")], [row([1, 2, 3], ".xx")]], Padding(0), "cpu")
    assert batch.labels.tolist() == [[6, -100, -100, 9, -100], [2, 3, -100, -100, -100]]
    assert batch.position_ids.tolist() == [[0, 1, 0, 0, 1], [0, 1, 2, 3, 4]]


@pytest.mark.parametrize(
    ("architecture", "attention"), [(name, how) for name in PACKABLE for how in ("sdpa", "eager") if (name, how) != ("gemma2", "sdpa")]
)
def test_packed_logits_equal_unpacked(tmp_path: Path, architecture: str, attention: str) -> None:
    """Among them windows of attention shorter than a sample (gemma2's is 16), rows of unequal length, and single tokens."""
    model = model_of(tmp_path, architecture, attn_implementation=attention)
    packed = [[random_row(length, length) for length in lengths] for lengths in ([30, 1, 20], [9, 25], [40])]
    found = logits(model, *packed)
    for at, samples in enumerate(packed):
        begin = 0
        for sample in samples:
            alone = logits(model, [sample])[0]
            torch.testing.assert_close(found[at, begin : begin + len(sample.ids)], alone, atol=1e-5, rtol=1e-5)
            begin += len(sample.ids)


@pytest.mark.parametrize("architecture", [*PACKABLE, *RECURRENT])
def test_padding_changes_no_logits(tmp_path: Path, architecture: str) -> None:
    model = model_of(tmp_path, architecture)
    long, short = random_row(40, 0), random_row(7, 1)
    found = logits(model, [long], [short])
    torch.testing.assert_close(found[1, :7], logits(model, [short])[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("architecture", [*PACKABLE, *RECURRENT])
def test_a_model_is_packed_only_if_its_samples_stay_apart(tmp_path: Path, architecture: str, dtype: torch.dtype) -> None:
    model = model_of(tmp_path, architecture, dtype=dtype).train()
    drawn = torch.random.get_rng_state()
    assert can_pack(model, 0) is (architecture in PACKABLE)
    assert model.training
    assert torch.equal(torch.random.get_rng_state(), drawn)


def test_a_model_that_keeps_samples_apart_in_a_batch_of_one_only_is_not_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(tmp_path, "llama")
    forward = model.forward

    def leaks_in_a_batch(input_ids: torch.Tensor, position_ids: torch.Tensor, **options: Any) -> Any:
        return forward(input_ids=input_ids, position_ids=position_ids if len(input_ids) == 1 else None, **options)

    monkeypatch.setattr(model, "forward", leaks_in_a_batch)
    assert not can_pack(model, 0)

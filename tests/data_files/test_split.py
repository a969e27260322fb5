"""Splits by hash: stable, uniform, never empty by chance."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from aigc_cli.core.errors import UsageError
from aigc_cli.core.sample import ChatSample, CompletionSample, TextSample, Turn
from aigc_cli.data.split import SplitRule, hash_of
from tests.data_files.conftest import Checked, texts

Write = Callable[..., Path]


def test_the_hash_is_of_what_the_row_says() -> None:
    assert hash_of(TextSample("一")) == 0x51A75F4634DFA859  # sha256sum
    assert hash_of(CompletionSample("a", "b")) == hash_of(CompletionSample("a", "b", is_instruction=True))
    assert hash_of(CompletionSample("a", "bc")) != hash_of(CompletionSample("ab", "c"))
    turns = Turn("user", "a", False), Turn("assistant", "b", True)
    assert hash_of(ChatSample(turns)) == hash_of(ChatSample((turns[0], Turn("assistant", "b", False))))
    assert hash_of(ChatSample(turns)) != hash_of(ChatSample(turns[::-1]))


@pytest.mark.parametrize("seed", range(5))
def test_adding_rows_moves_none_between_splits(seed: int, write: Write) -> None:
    draw = random.Random(seed)
    words = [f"行 {draw.random()}" for _ in range(400)]
    few = Checked(write("few.jsonl", *texts(*words[:200])), val_split=0.1, test_split=0.1).splits
    draw.shuffle(words)
    many = Checked(write("many.jsonl", *texts(*words)), val_split=0.1, test_split=0.1).splits
    assert {word: many[word] for word in few} == few
    assert set(few.values()) == {"train", "validation", "test"}


def test_shares_are_kept(write: Write) -> None:
    counts = Checked(write("a.jsonl", *texts(*map(str, range(20_000)))), val_split=0.1, test_split=0.3).dataset.counts
    assert counts["validation"] / 20_000 == pytest.approx(0.1, abs=0.01)
    assert counts["test"] / 20_000 == pytest.approx(0.3, abs=0.01)
    assert sum(counts.values()) == 20_000


def test_the_counts_are_those_of_the_samples(write: Write) -> None:
    checked = Checked(write("a.jsonl", *texts(*(str(n % 70) for n in range(100)))), val_split=0.2, test_split=0.2)
    splits = [split for split, _, _ in checked.dataset.samples()]
    assert checked.dataset.counts == {split: splits.count(split) for split in ("train", "validation", "test")}
    assert checked.dataset.duplicates == 30


def test_where_chance_keeps_none_back_the_lowest_hash_is_taken(write: Write) -> None:
    checked = Checked(write("a.jsonl", *texts("a", "b", "c", "c")), val_split=0.001, test_split=0.001)
    lowest = min("abc", key=lambda word: hash_of(TextSample(word)))
    assert [word for word, split in checked.splits.items() if split == "validation"] == [lowest]
    assert "the one with the lowest hash was taken" in checked.cautions
    assert "no row fell to the test split" in checked.cautions


def test_nothing_is_kept_back_unasked(write: Write) -> None:
    checked = Checked(write("a.jsonl", *texts("a", "b")), val_split=0.0)
    assert checked.dataset.counts["train"] == 2
    assert checked.cautions == ""


def test_nothing_left_to_train_on_is_refused(write: Write) -> None:
    with pytest.raises(UsageError, match="no row is left to train on"):
        Checked(write("a.jsonl", *texts("a", "b")), val_split=0.5, test_split=0.499999999)


def test_shares_that_nearly_fill_the_whole() -> None:
    rule = SplitRule.of_shares(0.9999999999999999, 1e-17)
    assert rule.split_of(0) == "validation"
    assert rule.validation <= rule.test < 2**64

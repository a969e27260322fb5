"""Lengths that batches share."""

from __future__ import annotations

from aigc_cli.backends.train.text.shapes import shared_length


def test_lengths_are_few_and_waste_little() -> None:
    lengths = range(1, 1025)
    shared = [shared_length(length, 1024) for length in lengths]
    assert all(length <= found < length + max(8, length / 8) for length, found in zip(lengths, shared, strict=True))
    assert len(set(shared)) == 8 + 4 * 8  # up to 64 by eights, then 8 for each power of two
    assert sum(shared) < 1.07 * sum(lengths)


def test_nothing_is_filled_up_beyond_the_limit_and_nothing_is_cut() -> None:
    assert shared_length(500, 510) == 510
    assert shared_length(500, 300) == 500
    assert shared_length(0, 64) == 0

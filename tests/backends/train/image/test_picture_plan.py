"""Which pictures make which step."""

from __future__ import annotations

from collections import Counter

import pytest

from aigc_cli.backends.train.image.buckets import Shape
from aigc_cli.backends.train.image.plan import PicturePlan
from aigc_cli.core.errors import UsageError

SQUARE, WIDE = Shape(64, 64), Shape(96, 48)
SHAPES = [SQUARE, WIDE, SQUARE, SQUARE, WIDE, SQUARE, SQUARE]


def plan(seed: int = 0, **options: int) -> PicturePlan:
    return PicturePlan(SHAPES, **{"per_step": 2, "epochs": 3, "max_steps": None, "seed": seed, **options})


def test_an_epoch_sees_each_picture_once_in_steps_of_one_shape() -> None:
    found = plan()
    assert (found.steps_per_epoch, found.steps) == (4, 12)
    for epoch in range(3):
        steps = [found.step(number) for number in range(4 * epoch, 4 * epoch + 4)]
        assert sorted(picture for step in steps for picture in step) == list(range(len(SHAPES)))
        assert all(len({SHAPES[picture] for picture in step}) == 1 for step in steps)
        assert Counter(map(len, steps)) == {2: 3, 1: 1}
    assert found.epoch(6) == 1.5


def test_epochs_and_seeds_differ_and_a_step_is_a_function_of_its_number() -> None:
    first, again, other = plan(), plan(), plan(seed=1)
    forwards = [first.step(number) for number in range(12)]
    assert [again.step(number) for number in reversed(range(12))] == forwards[::-1]
    assert forwards[:4] != forwards[4:8]
    assert forwards != [other.step(number) for number in range(12)]


def test_how_a_picture_is_seen_depends_on_epoch_and_picture_alone() -> None:
    options = {"captions": 3, "can_be_mirrored": True, "caption_dropout": 0.1}
    seen = {(epoch, picture): plan().view(4 * epoch, picture, **options) for epoch in range(50) for picture in range(7)}
    assert plan().view(4 * 17 + 3, 5, **options) == seen[17, 5]
    assert len({view.draw for view in seen.values()}) == len(seen)
    counts = Counter(view.caption for view in seen.values())
    assert set(counts) == {None, 0, 1, 2}
    assert 0.04 < counts[None] / len(seen) < 0.18
    assert 0.4 < sum(view.is_mirrored for view in seen.values()) / len(seen) < 0.6


def test_what_may_not_be_mirrored_never_is_and_keeps_its_noise() -> None:
    free, fixed = (plan().view(0, 1, captions=1, can_be_mirrored=can, caption_dropout=0.0) for can in (True, False))
    assert not fixed.is_mirrored
    assert (free.draw, free.caption) == (fixed.draw, fixed.caption)
    assert fixed.caption == 0


def test_always_without_captions_where_all_are_dropped() -> None:
    assert plan().view(0, 1, captions=2, can_be_mirrored=False, caption_dropout=1.0).caption is None


def test_steps_end_where_they_are_told_to() -> None:
    assert plan(max_steps=5).steps == 5
    with pytest.raises(IndexError):
        plan(max_steps=5).step(5)


def test_no_picture_is_refused() -> None:
    with pytest.raises(UsageError, match="no picture is left"):
        PicturePlan([], per_step=2, epochs=1, max_steps=None, seed=0)

"""Shapes that pictures are brought to, and what becomes of those that do not suit."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from aigc_cli.backends.train.image.buckets import Shape, fit, remarks, settled_resolution, shapes
from aigc_cli.core.errors import UsageError
from aigc_cli.core.sample import Origin
from aigc_cli.picture_data.dataset import PictureRow


def row(width: int, height: int, name: str = "x.png") -> PictureRow:
    return PictureRow(
        origin=Origin(name, 0),
        path=Path(name),
        cell=None,
        captions=("a",),
        width=width,
        height=height,
        has_alpha=False,
        content="0" * 64,
        split="train",
    )


@pytest.mark.parametrize(("resolution", "multiple"), [(64, 4), (128, 8), (512, 8), (512, 64), (1024, 16), (1024, 64)])
def test_shapes_are_multiples_of_about_the_same_area(resolution: int, multiple: int) -> None:
    found = shapes(resolution, multiple)
    assert Shape(resolution, resolution) in found
    for shape in found:
        assert (shape.width % multiple, shape.height % multiple) == (0, 0)
        assert math.sqrt(shape.width * shape.height) == pytest.approx(resolution, rel=0.15)
        assert Shape(shape.height, shape.width) in found


def test_a_picture_goes_to_the_shape_of_nearest_proportions() -> None:
    among = shapes(512, 8)
    assert fit(1000, 1000, among).shape == Shape(512, 512)
    landscape = fit(3000, 2000, among)
    assert landscape.shape.width / landscape.shape.height == pytest.approx(1.5, rel=0.03)
    assert fit(2000, 3000, among).shape == Shape(landscape.shape.height, landscape.shape.width)


def test_no_picture_up_to_2_7_to_1_loses_more_than_a_fifth() -> None:
    among = shapes(512, 8)
    assert max(fit(1000 + step, 1000, among).cut for step in range(0, 1700, 7)) < 0.2


def test_what_is_kept_lies_in_the_middle_and_is_told_in_the_pixels_of_the_scaled_picture() -> None:
    found = fit(200, 100, [Shape(64, 64)])
    assert found.cut == pytest.approx(0.5)
    assert found.scale == pytest.approx(0.64)
    assert found.sizes == (100, 200, 0, 32, 64, 64)


def test_pictures_that_lose_much_or_are_enlarged_are_counted() -> None:
    rows = [row(1000, 100, "wide.png"), row(512, 512), row(64, 64)]
    among = shapes(512, 8)
    cut, enlarged = remarks(rows, [fit(each.width, each.height, among) for each in rows])
    assert "1 of 3 pictures lose more than a fifth" in cut.message
    assert "wide.png" in cut.hint
    assert "2 of 3 pictures" in enlarged.message
    assert "8 times" in enlarged.message


def test_pictures_that_suit_are_not_worth_a_word() -> None:
    rows = [row(1024, 1024), row(1200, 1000)]
    assert list(remarks(rows, [fit(each.width, each.height, shapes(512, 8)) for each in rows])) == []


def test_a_resolution_that_is_no_multiple_is_rounded_and_said() -> None:
    assert settled_resolution(512, 1024, 8) == (512, ())
    assert settled_resolution(None, 1024, 16) == (1024, ())
    rounded, (caution,) = settled_resolution(500, 1024, 16)
    assert rounded == 496
    assert "--resolution 500 is taken as 496" in caution.message


def test_a_resolution_below_one_multiple_is_refused() -> None:
    with pytest.raises(UsageError, match="--resolution 8 is too small"):
        settled_resolution(8, 512, 16)

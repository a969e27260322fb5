from __future__ import annotations

import pytest

from aigc_cli.backends.train.image.mirroring import can_be_mirrored


@pytest.mark.parametrize("caption", ["a red apple", "", "一只猫", "brightly lit leftovers", "a wordless textile"])
def test_most_pictures_may_be_mirrored(caption: str) -> None:
    assert can_be_mirrored([caption])


@pytest.mark.parametrize(
    "caption", ["an arrow to the LEFT", "猫在树的右边", "the letter A", "数字五", "a “STOP” board", "汉字", "turning clockwise"]
)
def test_not_one_whose_caption_names_a_side_or_something_to_read(caption: str) -> None:
    assert not can_be_mirrored(["a picture", caption])

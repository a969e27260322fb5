"""Every combination of some options' values."""

from __future__ import annotations

from pathlib import Path

import pytest

from aigc_cli.batch.columns import image_columns
from aigc_cli.batch.matrix import parse_matrix
from aigc_cli.core.errors import UsageError

COLUMNS = image_columns(Path())


def test_the_last_option_changes_fastest() -> None:
    points = parse_matrix(["steps=10,20", "guidance-scale=5, 7.5"], COLUMNS)
    assert [tuple(point.items()) for point in points] == [
        (("steps", 10), ("guidance_scale", 5.0)),
        (("steps", 10), ("guidance_scale", 7.5)),
        (("steps", 20), ("guidance_scale", 5.0)),
        (("steps", 20), ("guidance_scale", 7.5)),
    ]
    assert parse_matrix([], COLUMNS) == ({},)


def test_a_value_in_quotes_may_hold_commas() -> None:
    points = parse_matrix(['negative_prompt="blur, noise",模糊'], COLUMNS)
    assert [point["negative_prompt"] for point in points] == ["blur, noise", "模糊"]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (["steps"], "--matrix steps: an option and its values are wanted"),
        (["steps="], "--matrix steps=: an option and its values are wanted"),
        (["steps=10,x"], "--matrix steps: 'x' is no whole number"),
        (["steps=10,"], "--matrix steps: '' is no whole number"),
        (["step=10"], "--matrix step=10: there is no column 'step', did you mean steps"),
        (["prompt=a,b"], "--matrix cannot change prompt"),
        (["n=1,2"], "--matrix cannot change n"),
        (["steps=0,0"], "--matrix steps=0,0: a value is given twice"),
        (["steps=1", "steps=2"], "--matrix steps is given twice"),
        (['scheduler="a'], "--matrix unexpected end of data"),
        ([f"{name}={','.join(map(str, range(100)))}" for name in ("seed", "steps", "width")], "--matrix makes 1,000,000 combinations"),
    ],
)
def test_what_no_matrix_is(written: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_matrix(written, COLUMNS)
    assert caught.value.message.startswith(message)
    assert caught.value.hint

from __future__ import annotations

import math

import pytest

from aigc_cli.render.loss_curve import draw_curve, draws_braille, resampled
from aigc_cli.render.width import cells

FALLING = [4 * math.exp(-step / 30) + 1 for step in range(200)]


def test_a_falling_line_in_braille():
    assert draw_curve([4.0, 3.0, 2.0, 1.0], 15, 2, braille=True) == ["     4 ⠉⠒⠤⣀⠀⠀⠀⠀", "     1 ⠀⠀⠀⠀⠉⠒⠤⣀"]


def test_a_falling_line_in_ascii():
    assert draw_curve([4.0, 3.0, 2.0, 1.0], 15, 2, braille=False) == ["     4 '-._", "     1     '-._"]


@pytest.mark.parametrize("braille", [True, False])
@pytest.mark.parametrize("count", [2, 3, 7, 200])
@pytest.mark.parametrize("width", [4, 10, 14, 15, 19, 60])
def test_it_fits_its_room(width, count, braille):
    lines = draw_curve(FALLING[:count], width, 4, braille=braille)
    assert len(lines) == 4
    assert all(0 < cells(line) <= width or not line.strip() for line in lines)
    assert braille or all(line.isascii() for line in lines)


@pytest.mark.parametrize(
    ("values", "width", "height"), [([], 60, 4), ([1.0], 60, 4), ([math.nan, 1.0], 60, 4), (FALLING, 3, 4), (FALLING, 60, 0)]
)
def test_too_little_is_not_drawn(values, width, height):
    assert draw_curve(values, width, height, braille=True) == []


def test_what_is_not_finite_leaves_no_hole():
    assert draw_curve([4.0, math.nan, 1.0, math.inf], 20, 2, braille=True) == draw_curve([4.0, 1.0], 20, 2, braille=True)


def test_a_level_line_runs_in_the_middle():
    assert draw_curve([2.0, 2.0], 12, 1, braille=False) == ["............"]


def test_labels_of_any_size_keep_their_room():
    for values in ([1234567.0, 0.000001234], [-123456.0, 1e-12]):
        assert all(line[6] == " " and cells(line) <= 30 for line in draw_curve(values, 30, 2, braille=True))


def test_more_values_than_columns_become_means():
    assert resampled([1.0, 3.0, 5.0, 7.0], 2) == [2.0, 6.0]
    assert resampled([1.0, 3.0], 3) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("encoding", "term", "expected"),
    [("utf-8", "xterm", True), ("UTF-8", "linux", False), ("ascii", "xterm", False), (None, "xterm", False)],
)
def test_who_gets_braille(monkeypatch, encoding, term, expected):
    monkeypatch.setenv("TERM", term)
    assert draws_braille(encoding) is expected

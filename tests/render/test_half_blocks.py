from __future__ import annotations

import re

import pytest
from PIL import Image

from aigc_cli.render.half_blocks import half_blocks
from aigc_cli.render.width import cells


@pytest.fixture
def picture():
    """Four fields: red and white above blue and black."""
    image = Image.new("RGB", (8, 8), "black")
    for colour, corner in (("red", (0, 0)), ("white", (4, 0)), ("blue", (0, 4))):
        image.paste(colour, (*corner, corner[0] + 4, corner[1] + 4))
    return image.resize((80, 80), Image.Resampling.NEAREST)


@pytest.mark.parametrize("depth", ["true", "256", "16"])
@pytest.mark.parametrize(
    ("size", "columns", "rows"), [((64, 64), 20, 10), ((128, 64), 20, 5), ((64, 128), 20, 20), ((50, 1), 20, 1), ((60, 9), 20, 2)]
)
def test_a_line_has_its_cells_and_the_sides_are_in_proportion(depth, size, columns, rows):
    lines = half_blocks(Image.new("RGB", size, "teal"), columns, depth)
    assert len(lines) == rows
    assert {cells(line) for line in lines} == {columns}
    assert all(line.endswith("\x1b[0m") for line in lines)


def test_two_pixels_are_one_cell(picture):
    [line] = half_blocks(picture, 2, "true")
    red, white = re.findall(r"\x1b\[([\d;]+)m▀", line)
    assert re.fullmatch(r"38;2;2\d\d;\d+;\d+;48;2;\d+;\d+;2\d\d", red)
    assert re.fullmatch(r"38;2;2\d\d;2\d\d;2\d\d;48;2;\d+;\d+;\d+", white)


@pytest.mark.parametrize(
    ("depth", "red", "white"),
    [("256", "38;5;196", "38;5;231"), ("16", "91", "97"), ("true", "38;2;255;0;0", "38;2;255;255;255")],
)
def test_pure_colours_are_found_at_every_depth(picture, depth, red, white):
    first = half_blocks(picture, 8, depth)[0]
    for colour in (red, white):
        assert re.search(rf"\x1b\[{colour}[;m]", first)


def test_a_colour_is_named_where_it_changes():
    [line] = half_blocks(Image.new("RGB", (40, 2), "white"), 40, "256")
    assert line == "\x1b[38;5;231;48;5;231m" + "▀" * 40 + "\x1b[0m"


def test_half_a_row_leaves_the_ground_as_it_is():
    [line] = half_blocks(Image.new("RGB", (4, 1), "white"), 4, "256")
    assert line == "\x1b[38;5;231m▀▀▀▀\x1b[0m"


def test_16_colours_are_mixed():
    """A grey between two of the terminal's is both, side by side."""
    joined = "".join(half_blocks(Image.new("RGB", (40, 40), (60, 60, 60)), 40, "16"))
    assert {"30", "90"} <= set(re.findall(r"\d+", joined))

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageFont

from aigc_cli.core.errors import UsageError
from aigc_cli.pictures import fonts
from aigc_cli.pictures.fonts import choose_font, clipped
from aigc_cli.pictures.sheet import GAP, Tile, captioned, contact_sheet
from tests.pictures.conftest import PROMPT


@pytest.fixture
def colours(tmp_path):
    """Five squares, each of one colour."""
    names = ("red", "lime", "blue", "black", "yellow")
    paths = [tmp_path / f"{name}.png" for name in names]
    for name, path in zip(names, paths, strict=True):
        Image.new("RGB", (100, 100), name).save(path)
    return paths


def test_pictures_stand_in_their_order(colours):
    sheet, remarks = contact_sheet([Tile(path) for path in colours], cell=20, columns=2)
    assert (sheet.size, remarks) == ((GAP + 2 * (20 + GAP), GAP + 3 * (20 + GAP)), ())
    middles = [sheet.getpixel((GAP + 10 + x * (20 + GAP), GAP + 10 + y * (20 + GAP))) for y in range(3) for x in range(2)]
    assert middles == [(255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0), (255, 255, 0), (255, 255, 255)]


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (4, 2), (5, 3)])
def test_without_columns_it_is_about_square(colours, count, columns):
    sheet, _ = contact_sheet([Tile(path) for path in colours[:count]], cell=16)
    assert sheet.width == GAP + columns * (16 + GAP)


def test_a_picture_keeps_its_shape_and_a_small_one_its_size(tmp_path):
    Image.new("RGB", (200, 50), "red").save(tmp_path / "wide.png")
    Image.new("RGB", (4, 4), "red").save(tmp_path / "small.png")
    sheet, _ = contact_sheet([Tile(tmp_path / "wide.png"), Tile(tmp_path / "small.png")], cell=40)
    red = [(x, y) for x in range(sheet.width) for y in range(sheet.height) if sheet.getpixel((x, y)) == (255, 0, 0)]
    assert len(red) == 40 * 10 + 16


def test_captions_are_prompt_and_seed_or_the_file_s_name(fox, colours):
    assert captioned(fox).caption == (PROMPT, "seed 7")
    assert captioned(colours[0]).caption == ("red.png",)
    plain, _ = contact_sheet([Tile(fox)], cell=200)
    with_caption, _ = contact_sheet([Tile(fox, ("fox", "seed 7"))], cell=200)
    assert with_caption.height > plain.height
    below = with_caption.crop((0, plain.height, *with_caption.size))
    assert below.getextrema()[0][0] < 100  # there is ink


def test_characters_that_no_font_has_are_said(fox, monkeypatch):
    monkeypatch.setattr(fonts, "WITH_CJK", ())
    _, [remark] = contact_sheet([Tile(fox, ("一只狐", "seed 7"))])
    assert remark.startswith("no font on this system has 一只狐: ")


def test_a_font_that_has_the_characters_is_chosen_where_there_is_one():
    names = [name for name in fonts.WITH_CJK if fonts.load(name, 12)]
    if not names:
        pytest.skip("no font with Chinese on this system")
    assert choose_font("fox 一只狐", 12).missing == ""
    assert choose_font("plain", 12).font.getname() == ImageFont.load_default(12).getname()


def test_a_long_caption_ends_in_an_ellipsis():
    font = choose_font("x", 12).font
    text = clipped("a long caption that does not fit", font, 60)
    assert text.endswith("…")
    assert font.getlength(text) <= 60
    assert clipped("short", font, 600) == "short"


def test_a_sheet_that_is_too_large(colours):
    with pytest.raises(UsageError, match="is too large"):
        contact_sheet([Tile(colours[0])] * 100, cell=4096)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's peak of memory so")
def test_memory_does_not_grow_with_the_number_of_pictures(tmp_path):
    path = tmp_path / "big.jpg"
    Image.new("RGB", (2000, 1500)).save(path)  # 9 MB each when decoded
    code = f"""
from pathlib import Path
from aigc_cli.pictures.sheet import Tile, contact_sheet
contact_sheet([Tile(Path({str(path)!r}))] * 40, cell=32)
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""
    peak = int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60).stdout)
    assert peak * 1024 < 150 * 2**20


@pytest.mark.parametrize(("side", "cell"), [(64, 128), (200, 200), (900, 256)])
def test_small_pictures_get_small_places(side: int, cell: int, tmp_path: Path) -> None:
    path = tmp_path / "狐狸.png"
    Image.new("RGB", (side, 32)).save(path)
    assert contact_sheet([Tile(path)])[0].size == (cell + 2 * GAP, cell + 2 * GAP)

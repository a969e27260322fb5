"""Pictures that are cells of a sheet."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from aigc_cli.core.errors import UsageError
from aigc_cli.picture_data import opening
from aigc_cli.picture_data.opening import OpenSheets, open_row
from tests.picture_data.conftest import Checked, Save, noise

SIDE = 8


@pytest.fixture
def sheet(save: Save) -> Image.Image:
    """Three columns and two rows; the cells of the second row are transparent."""
    image = Image.new("RGBA", (3 * SIDE, 2 * SIDE))
    for number in range(3):
        image.paste(noise(number, (SIDE, SIDE)), (number * SIDE, 0))
        image.paste(noise(10 + number, (SIDE, SIDE), "RGBA"), (number * SIDE, SIDE))
    save("sheet.png", None, image)
    return image


def index(folder: Path, *rows: dict[str, object]) -> Path:
    path = folder / "cells.jsonl"
    path.write_text("".join(json.dumps({"file_name": "sheet.png", "text": "图标", **row}) + "\n" for row in rows))
    return path


def numbered(*cells: int) -> list[dict[str, object]]:
    return [{"cell": cell, "columns": 3, "cell_size": SIDE} for cell in cells]


def test_cells_by_number_and_by_place(sheet: Image.Image, tmp_path: Path) -> None:
    checked = Checked(index(tmp_path, *numbered(4, 1), {"cell": [1, 2, 9, 10]}, {}))
    numbered_4, numbered_1, placed, whole = checked.dataset.rows
    assert [(row.width, row.height, row.has_alpha) for row in checked.dataset.rows] == [
        (8, 8, True),
        (8, 8, False),
        (9, 10, True),
        (24, 16, True),
    ]
    assert open_row(numbered_4).tobytes() == sheet.crop((8, 8, 16, 16)).tobytes()
    assert open_row(numbered_1).tobytes() == sheet.crop((8, 0, 16, 8)).convert("RGB").tobytes()
    assert open_row(placed).tobytes() == sheet.crop((1, 2, 10, 12)).tobytes()
    assert open_row(whole).tobytes() == sheet.tobytes()


def test_in_a_table_cells_are_written_as_text(sheet: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    path.write_text('path,cell,columns,cell_size,text\nsheet.png,2,3,8,two\nsheet.png,"[0, 8, 8, 8]",,,three\nsheet.png,,3,8,whole\n')
    with pytest.raises(UsageError, match=r"1 of 3 .*\n.*:4: it has columns, but no cell"):
        Checked(path)
    rows = Checked(path, skip_bad=True).dataset.rows
    assert [(row.cell.left, row.cell.top, row.captions) for row in rows if row.cell] == [(16, 0, ("two",)), (0, 8, ("three",))]


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({"cell": 6, "columns": 3, "cell_size": 8}, "the cell (8 x 8 pixels at 0, 16) lies outside the sheet, which has 24 x 16"),
        ({"cell": [20, 0, 8, 8]}, "the cell (8 x 8 pixels at 20, 0) lies outside"),
        ({"cell": [0, 0, 8, 4]}, "8 x 4 pixels are too few"),
        ({"cell": 1, "columns": 3}, "cell is a number, and cell_size is missing"),
        ({"cell": 1, "columns": 0, "cell_size": 8}, "columns is 0, it should be 1 or more"),
        ({"cell": 1, "columns": True, "cell_size": 8}, "columns is true or false"),
        ({"cell": -1, "columns": 3, "cell_size": 8}, "cell is -1: it should be a number"),
        ({"cell": [0, 0, 8]}, "cell is [0, 0, 8]: it should be a number"),
        ({"cell": [-1, 0, 8, 8]}, "cell is [-1, 0, 8, 8]"),
        ({"cell": {"x": 1}}, "cell is an object"),
        ({"cell": "first"}, "cell is 'first', not a number"),
        ({"cell_size": 8}, "it has cell_size, but no cell"),
    ],
)
def test_cells_that_are_none(sheet: Image.Image, tmp_path: Path, row: dict[str, object], error: str) -> None:
    path = index(tmp_path, row)
    with pytest.raises(UsageError) as raised:
        Checked(path)
    assert raised.value.message.split("\n")[1].startswith(f"{path}:1: {error}")


def test_a_sheet_is_decoded_once_for_the_check_and_once_for_all_its_cells(
    sheet: Image.Image, save: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save("other.png", None, noise(99, (24, 16)))
    decoded: list[str] = []
    original = opening.decode
    for module in ("opening", "looking"):
        monkeypatch.setattr(f"aigc_cli.picture_data.{module}.decode", lambda path: (decoded.append(path.name), original(path))[1])
    monkeypatch.setattr(opening, "SHEETS", OpenSheets(2**20))
    rows = [{**row, "file_name": name} for row in numbered(0, 1, 2, 3) for name in ("sheet.png", "other.png")]
    dataset = Checked(index(tmp_path, *rows)).dataset
    assert sorted(decoded) == ["other.png", "sheet.png"]
    with ThreadPoolExecutor(4) as pool:
        pictures = list(pool.map(open_row, dataset.rows))
    assert [picture.size for picture in pictures] == [(8, 8)] * 8
    assert sorted(decoded) == ["other.png", "other.png", "sheet.png", "sheet.png"]


def test_open_sheets_keeps_no_more_pixels_than_it_should(save: Save) -> None:
    paths = [save(f"{name}.png", None, Image.new("RGB", (10, 10))) for name in "abc"]
    sheets = OpenSheets(200)
    for path in (paths[0], paths[1], paths[0], paths[2]):
        sheets.get(path)
    assert [path.name for path in sheets.images] == ["a.png", "c.png"]
    sheets.close()
    assert not sheets.images


def test_a_sheet_that_has_changed_since_the_check_is_refused(sheet: Image.Image, save: Save, tmp_path: Path) -> None:
    (row,) = Checked(index(tmp_path, *numbered(4))).dataset.rows
    save("sheet.png", None, Image.new("RGB", (8, 8)))
    with pytest.raises(UsageError, match="has changed since it was checked"):
        open_row(row)

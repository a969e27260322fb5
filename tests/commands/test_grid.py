from __future__ import annotations

import pytest
from PIL import Image


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{name}.png" for name in ("red", "lime", "blue")]
    for path in paths:
        Image.new("RGB", (64, 64), path.stem).save(path)
    return paths


@pytest.mark.parametrize("name", ["表.png", "sheet.jpg", "sheet.webp"])
def test_a_sheet_is_written(run, tmp_path, files, name):
    result = run("grid", *files, "-o", tmp_path / name, "--columns", 3, "--cell", 32, "--no-captions")
    assert (result.status, result.stdout) == (0, "")
    assert "3 pictures, 128 x 48" in result.stderr
    sheet = Image.open(tmp_path / name).convert("RGB")
    assert sheet.size == (128, 48)
    assert sheet.getpixel((24, 24))[0] > 240


def test_captions_unless_they_are_not_wanted(run, tmp_path, files):
    for name, flag in (("a.png", "--captions"), ("b.png", "--no-captions")):
        run("grid", *files, "-o", tmp_path / name, flag)
    assert Image.open(tmp_path / "a.png").height > Image.open(tmp_path / "b.png").height


def test_json_tells_the_file(run, tmp_path, files):
    [event] = run("grid", *files, "-o", tmp_path / "s.png", "--json", "--cell", "32").events
    assert event["path"] == str(tmp_path / "s.png")
    assert event["pictures"] == 3


def test_nothing_is_overwritten_unasked(run, tmp_path, files):
    target = tmp_path / "s.png"
    target.write_text("mine")
    result = run("grid", *files, "-o", target)
    assert (result.status, target.read_text()) == (2, "mine")
    assert "--overwrite" in result.stderr
    assert run("grid", *files, "-o", target, "--overwrite").status == 0
    assert Image.open(target).format == "PNG"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "sheet"], "no ending that says how to write it"),
        (["-o", "sheet.gif"], "no ending that says how to write it"),
        (["-o", "nowhere/s.png"], "there is no folder nowhere"),
        (["-o", "s.png", "--columns", "0"], "--columns"),
        (["-o", "s.png", "--cell", "9"], "--cell"),
        (["-o", "s.png", "gone.png"], "there is no file gone.png"),
    ],
)
def test_bad_input(run, tmp_path, files, arguments, said):
    result = run("grid", *files, *arguments)
    assert result.status == 2
    assert said in result.stderr
    assert not list(tmp_path.glob("s*.png"))

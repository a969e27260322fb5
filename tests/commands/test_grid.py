from __future__ import annotations

import errno
import io
import subprocess
import sys

import pytest
from PIL import Image

from aigc_cli.render.output import Output


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


def test_the_sheet_goes_to_stdout_and_nothing_else(files):
    command = [sys.executable, "-m", "aigc_cli", "grid", *map(str, files), "-o", "-"]
    result = subprocess.run(command, capture_output=True, timeout=60)
    assert result.returncode == 0
    assert Image.open(io.BytesIO(result.stdout)).format == "PNG"
    assert result.stdout.endswith(b"IEND\xaeB`\x82")
    assert result.stderr.startswith(b"stdout: 3 pictures, ")


def test_bytes_do_not_go_to_a_terminal_nor_among_json(run, files, monkeypatch):
    assert "--json and -o - both want stdout" in run("grid", *files, "-o", "-", "--json").stderr
    monkeypatch.setattr("aigc_cli.commands.grid.open_output", lambda options: terminal_output())
    result = run("grid", *files, "-o", "-")
    assert (result.status, result.stdout) == (2, "")
    assert "a picture's bytes do not go to a terminal\n      name a file after -o" in result.stderr


def terminal_output():
    output = Output()
    output.stdout_is_terminal = True
    return output


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), 2, "cannot be written: permission denied"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "no room is left in"),
    ],
)
def test_a_folder_that_cannot_be_written_or_is_full(run, tmp_path, files, monkeypatch, error, status, said):
    def refuse(self, target):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.replace", refuse)
        result = run("grid", *files, "-o", tmp_path / "s.png")
    assert (result.status, said in result.stderr) == (status, True)
    assert sorted(tmp_path.iterdir()) == sorted(files)


def test_all_bad_pictures_are_told(run, tmp_path, files):
    (tmp_path / "cut.png").write_bytes(files[0].read_bytes()[:60])
    (tmp_path / "text.png").write_text("no picture")
    result = run("grid", tmp_path / "cut.png", *files, tmp_path / "text.png", tmp_path, "*.jpg", "-o", "sheet.png")
    assert result.status == 2
    assert "4 of 7 pictures cannot be put on a sheet\n" in result.stderr
    for words in ("cut.png is damaged", "text.png is no picture", "is a folder, not a picture", "there is no file *.jpg"):
        assert words in result.stderr
    assert "no file's name fits the pattern" in run("grid", "*.jpg", "-o", "sheet.png").stderr


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

"""Pictures of every kind, good and bad, and what was done to them."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image, ImageCms, features

from aigc_cli.core.errors import UsageError
from aigc_cli.picture_data.opening import open_row
from tests.picture_data.conftest import Checked, Save, noise


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))

    head = struct.pack(">LLBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg", "webp", "bmp", "gif", "tif", "tiff", "ppm", "jp2", "avif"])
def test_formats(save: Save, suffix: str) -> None:
    if suffix == "avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    row = Checked(save(f"a.{suffix}")).row
    assert (row.width, row.height, row.has_alpha) == (16, 12, False)
    assert (open_row(row).mode, open_row(row).size) == ("RGB", (16, 12))


@pytest.mark.parametrize(
    ("mode", "suffix", "change"),
    [
        ("RGB", "png", None),
        ("L", "png", "grey made RGB"),
        ("1", "png", "grey made RGB"),
        ("P", "png", "palette made RGB"),
        ("CMYK", "jpg", "CMYK made RGB"),
        ("I;16", "png", "16 bits a channel made 8, grey made RGB"),
    ],
)
def test_modes_become_8_bits_of_rgb_and_are_counted(save: Save, mode: str, suffix: str, change: str | None) -> None:
    image = Image.new("I;16", (16, 12), 0x8000) if mode == "I;16" else noise(1).convert(mode)
    checked = Checked(save(f"a.{suffix}", image=image), save(f"b.{suffix}", image=image))
    assert checked.dataset.changes == (dict.fromkeys(change.split(", "), 2) if change else {})
    assert [open_row(row).mode for row in checked.dataset.rows] == ["RGB", "RGB"]
    assert all(f"{each} (2)" in checked.cautions for each in (change.split(", ") if change else ()))


def test_16_bits_of_colour(save: Save, tmp_path: Path) -> None:
    path = save("deep.png")
    path.write_bytes(png(8, 8, 16, 2, (b"\0" + struct.pack(">3H", 0xFFFF, 0x8000, 0) * 8) * 8))
    checked = Checked(path)
    assert checked.dataset.changes == {"16 bits a channel made 8": 1}
    assert open_row(checked.row).getpixel((7, 7)) == (255, 128, 0)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_kept(save: Save, mode: str) -> None:
    image = Image.new("P", (8, 8)) if mode == "P" else Image.new("RGBA", (8, 8), (9, 9, 9, 100)).convert(mode)
    row = Checked(save("a.png", image=image, **({"transparency": 0} if mode == "P" else {}))).row
    assert row.has_alpha
    picture = open_row(row)
    assert picture.mode == "RGBA"
    assert picture.getchannel("A").getextrema()[0] == (0 if mode == "P" else 100)


def test_an_alpha_channel_without_transparency_is_left_out(save: Save) -> None:
    row = Checked(save("a.png", image=noise(1).convert("RGBA"))).row
    assert not row.has_alpha
    assert open_row(row).mode == "RGB"


def test_pictures_are_turned_upright(save: Save) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned right by a quarter
    checked = Checked(save("phone.jpg", image=noise(1, (40, 24)), exif=exif))
    assert (checked.row.width, checked.row.height) == (24, 40) == open_row(checked.row).size
    assert checked.dataset.changes == {"turned upright": 1}


def test_the_first_frame_of_an_animation_is_learnt_and_said(save: Save) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    checked = Checked(save("moving.gif", image=frames[0], save_all=True, append_images=frames[1:]))
    assert open_row(checked.row).getpixel((0, 0)) == (255, 0, 0)
    assert "first of several frames taken (1)" in checked.cautions


def test_a_colour_profile_is_followed(save: Save) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    checked = Checked(save("odd.png", icc_profile=profile))
    (change,) = checked.dataset.changes
    assert change.startswith("colour")


def test_bad_pictures_are_all_named(save: Save, tmp_path: Path) -> None:
    save("p/0.png")
    save("p/1.png", image=Image.new("RGB", (1, 1)))
    save("p/2.png", image=Image.new("RGB", (7, 900)))
    save("p/3.png", image=noise(3, (200, 200)))
    for name, data in {"3.png": (tmp_path / "p/3.png").read_bytes()[:5000], "4.png": b"", "5.jpg": "你好".encode()}.items():
        (tmp_path / "p" / name).write_bytes(data)
        (tmp_path / "p" / name).with_suffix(".txt").write_text("a thing")
    (tmp_path / "p/6.png").write_bytes(png(20_000, 20_000, 1, 0, bytes(2501 * 20_000)))
    (tmp_path / "p/6.txt").write_text("a bomb")
    with pytest.raises(UsageError) as error:
        Checked(tmp_path / "p")
    first, *lines = error.value.message.split("\n")
    assert first == "6 of 7 pictures cannot be trained on"
    said = [line.removeprefix(f"{tmp_path}/p/") for line in lines]
    assert said[0] == "1.png: 1 x 1 pixels are too few: sides have 8 or more"
    assert said[1] == "2.png: 7 x 900 pixels are too few: sides have 8 or more"
    assert said[2].startswith("3.png: damaged: image file is truncated")
    assert said[3:5] == ["4.png: no picture that aigc can read", "5.jpg: no picture that aigc can read"]
    assert said[5:] == ["6.png: has more than 178 million pixels"]
    assert error.value.hint == "mend them, or leave them out with --skip-bad"


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_a_damaged_avif_is_bad_as_others_are(save: Save) -> None:
    path = save("a.avif")
    data = path.read_bytes()
    start = data.index(b"mdat") + 4
    path.write_bytes(data[:start] + b"\xff" * (len(data) - start))
    with pytest.raises(UsageError, match=r"a\.avif: damaged: Failed to decode"):
        Checked(path)


def test_warnings_of_the_library_do_not_reach_stderr(save: Save) -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\x05\0"  # five tags are promised, none follows
    path = save("a.jpg", exif=exif)
    code = f"from pathlib import Path; from aigc_cli.picture_data.opening import decode; decode(Path({str(path)!r}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")


def test_pictures_that_are_too_long_are_said(save: Save) -> None:
    long, fitting = save("long.png", image=noise(1, (50, 12))), save("fits.png", image=noise(1, (48, 12)))
    cautions = Checked(long, fitting).cautions
    assert f"1 pictures have one side that is more than 4 times the other: {long}" in cautions


def test_a_picture_that_has_changed_since_the_check_is_refused(save: Save) -> None:
    row = Checked(save("a.png")).row
    save("a.png", image=noise(500))
    with pytest.raises(UsageError, match=r"a\.png has changed since it was checked"):
        open_row(row)

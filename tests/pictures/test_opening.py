from __future__ import annotations

import struct
import subprocess
import sys
import zlib

import pytest
from PIL import Image, ImageCms

from aigc_cli.core.errors import UsageError
from aigc_cli.pictures.opening import open_picture

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def saved(tmp_path, image, name, **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


def test_rgb_stays_as_it_is(tmp_path):
    image, remarks = open_picture(saved(tmp_path, Image.new("RGB", (5, 3), RED), "red.png"))
    assert (image.mode, image.size, image.getpixel((4, 2)), remarks) == ("RGB", (5, 3), RED, ())


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA"])
def test_what_loses_nothing_needs_no_word(tmp_path, mode):
    image, remarks = open_picture(saved(tmp_path, Image.new("RGB", (4, 4), "white").convert(mode), "white.png"))
    assert (image.mode, image.getpixel((0, 0)), remarks) == ("RGB", (255, 255, 255), ())


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_white_and_said(tmp_path, mode):
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    options = {"transparency": 0} if mode == "P" else {}
    source = Image.new("P", (4, 4)) if mode == "P" else clear.convert(mode)
    image, remarks = open_picture(saved(tmp_path, source, "clear.png", **options))
    assert (image.mode, image.getpixel((0, 0))) == ("RGB", (255, 255, 255))
    assert remarks == ("laid on white where it was transparent",)


def test_half_transparent_black_on_white_is_grey(tmp_path):
    image, _ = open_picture(saved(tmp_path, Image.new("RGBA", (2, 2), (0, 0, 0, 128)), "half.png"))
    assert image.getpixel((0, 0)) == (127, 127, 127)


def test_a_cmyk_jpeg(tmp_path):
    image, remarks = open_picture(saved(tmp_path, Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "print.jpg"))
    red, green, blue = image.getpixel((4, 4))
    assert red > 240
    assert max(green, blue) < 15
    assert remarks == ("CMYK made RGB",)


@pytest.mark.parametrize("name", ["moving.gif", "moving.webp", "moving.png"])
def test_the_first_frame_of_an_animation(tmp_path, name):
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, GREEN, BLUE)]
    path = saved(tmp_path, frames[0], name, save_all=True, append_images=frames[1:])
    image, remarks = open_picture(path)
    assert image.getpixel((1, 1))[0] > 240
    assert remarks == ("the first of its 3 frames taken",)


def test_exif_rotation_is_applied(tmp_path):
    source = Image.new("RGB", (16, 8), BLUE)
    source.paste(RED, (0, 0, 8, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned right by a quarter
    image, remarks = open_picture(saved(tmp_path, source, "phone.png", exif=exif))
    assert image.size == (8, 16)
    assert (image.getpixel((4, 2)), image.getpixel((4, 14))) == (RED, BLUE)
    assert remarks == ("turned upright, as its EXIF data says",)


def test_16_bits_of_grey_are_scaled_not_cut_off(tmp_path):
    source = Image.new("I;16", (3, 1))
    for x, value in enumerate((0, 0x8000, 0xFFFF)):
        source.putpixel((x, 0), value)
    image, remarks = open_picture(saved(tmp_path, source, "deep.png"))
    assert [image.getpixel((x, 0))[0] for x in range(3)] == [0, 128, 255]
    assert remarks == ("16 bits a channel made 8",)


def test_16_bits_of_colour(tmp_path):
    path = tmp_path / "deep.png"
    path.write_bytes(png(1, 1, depth=16, colour=2, rows=b"\0" + struct.pack(">3H", 0xFFFF, 0x8000, 0)))
    image, remarks = open_picture(path)
    assert image.getpixel((0, 0)) == (255, 128, 0)
    assert remarks == ("16 bits a channel made 8",)


def test_another_colour_profile_becomes_srgb(tmp_path):
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    image, remarks = open_picture(saved(tmp_path, Image.new("RGB", (2, 2), RED), "odd.png", icc_profile=lab))
    assert image.mode == "RGB"
    assert len(remarks) == 1
    assert "colour" in remarks[0]
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert open_picture(saved(tmp_path, Image.new("RGB", (2, 2), RED), "usual.png", icc_profile=srgb))[1] == ()
    broken = saved(tmp_path, Image.new("RGB", (2, 2), RED), "broken.png", icc_profile=b"nonsense")
    assert open_picture(broken)[1] == ("its colour profile left out: it cannot be read",)


def png(width, height, depth=8, colour=2, rows=b""):
    def chunk(name, data):
        return struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))

    head = struct.pack(">LLBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_a_truncated_picture_is_an_error(tmp_path):
    whole = saved(tmp_path, Image.effect_noise((200, 200), 50), "whole.png").read_bytes()
    for name, data in {"cut.png": whole[: len(whole) // 2], "head.png": whole[:20], "short.png": png(40, 40)}.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(UsageError, match=name):
            open_picture(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no file"),
        (b"", "is no picture"),
        (b"just text \xe4\xb8\xad", "is no picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "is no picture"),
    ],
)
def test_what_is_no_picture(tmp_path, content, said):
    path = tmp_path / "图.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=said) as error:
        open_picture(path)
    assert "图.png" in error.value.message
    assert error.value.hint


def test_a_folder(tmp_path):
    with pytest.raises(UsageError, match="is a folder"):
        open_picture(tmp_path)


def test_32_bits_a_pixel_have_no_white(tmp_path):
    for mode in ("F", "I"):
        path = saved(tmp_path, Image.new(mode, (2, 2), 70_000), f"{mode}.tiff")
        with pytest.raises(UsageError, match=f"{mode}.tiff has"):
            open_picture(path)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's peak of memory so")
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(40_000, 40_000, depth=1, colour=0, rows=bytes(5001 * 40_000)))
    code = f"""
from pathlib import Path
from aigc_cli.core.errors import UsageError
from aigc_cli.pictures.opening import open_picture
try:
    open_picture(Path({str(path)!r}))
except UsageError as error:
    print(error.message)
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    message, peak = result.stdout.splitlines()
    assert "has more than 178 million pixels" in message
    assert int(peak) * 1024 < 300 * 2**20

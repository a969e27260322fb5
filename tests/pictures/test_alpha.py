"""Pictures that one can see through."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from aigc_cli.core.image import Pixels
from aigc_cli.pictures.alpha import image_of, laid_on, pixels_of, white_where_clear
from aigc_cli.pictures.metadata import encode_picture
from aigc_cli.pictures.opening import open_picture

HALF_BLACK = (0, 0, 0, 128)


def test_bytes_become_a_picture_and_are_the_same_again() -> None:
    for pixels in (Pixels(2, 1, bytes(range(6))), Pixels(2, 1, bytes(range(8)), 4)):
        assert pixels_of(image_of(pixels)) == pixels


def test_what_is_half_seen_takes_half_of_the_ground() -> None:
    seen = Image.new("RGBA", (2, 1), HALF_BLACK)
    assert laid_on(seen, "white").getpixel((0, 0)) == (127, 127, 127)
    assert laid_on(seen, "#ff0000").getpixel((0, 0)) == (127, 0, 0)
    opaque = Image.new("RGB", (2, 1), "blue")
    assert laid_on(opaque, "white") is opaque


def test_one_colour_where_nothing_is_seen() -> None:
    image = Image.new("RGBA", (2, 1), (9, 8, 7, 0))
    image.putpixel((1, 0), HALF_BLACK)
    assert white_where_clear(image).tobytes() == bytes((255, 255, 255, 0, *HALF_BLACK))


def test_a_file_keeps_transparency_or_is_laid_on_a_colour(tmp_path: Path) -> None:
    pixels = Pixels(8, 8, bytes(HALF_BLACK * 64), 4)
    for form in ("png", "webp"):
        (tmp_path / form).write_bytes(encode_picture(pixels, None, form, 100 if form == "webp" else None))
        assert Image.open(tmp_path / form).convert("RGBA").tobytes() == pixels.data
    for form in ("png", "webp", "jpeg"):
        (tmp_path / form).write_bytes(encode_picture(pixels, None, form, ground="red"))
        file = Image.open(tmp_path / form)
        assert file.mode == "RGB"
        assert max(abs(level - wanted) for level, wanted in zip(file.getpixel((4, 4)), (127, 0, 0), strict=True)) <= 4


def test_a_picture_to_begin_with_keeps_its_transparency_where_that_is_wanted(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (0, 0, 0, 0)).save(tmp_path / "a.png")
    image, remarks = open_picture(tmp_path / "a.png", keep_alpha=True)
    assert (image.mode, image.getpixel((0, 0)), remarks) == ("RGBA", (255, 255, 255, 0), ())
    Image.new("L", (2, 2), 7).save(tmp_path / "b.png")
    assert open_picture(tmp_path / "b.png", keep_alpha=True)[0].getpixel((0, 0)) == (7, 7, 7, 255)
    assert open_picture(tmp_path / "a.png")[1] == ("laid on white where it was transparent",)

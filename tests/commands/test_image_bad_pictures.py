"""Pictures to begin with that are damaged, too large, of another size or of an odd kind."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.commands.imaging import OUT, draw, drawn, picture, refused, write
from tests.conftest import Result
from tests.fake_image import FakeImageEngine

Run = Callable[..., Result]
Fake = type[FakeImageEngine]

pytestmark = pytest.mark.usefixtures("fake_image")


def noise(name: str) -> bytes:
    """A PNG that does not compress to nothing."""
    Image.frombytes("RGB", (64, 64), random.Random(0).randbytes(64 * 64 * 3)).save(name)
    return Path(name).read_bytes()


def bomb(name: str) -> str:
    """A PNG of a few bytes that says it has 40,000 x 40,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 2, 0, 0, 0)
    Path(name).write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b""))
    return name


def test_pictures_that_cannot_be_opened() -> None:
    content = noise("whole.png")
    Path("cut.png").write_bytes(content[: len(content) // 2])
    Path("text.png").write_text("no picture")
    bomb("bomb.png")
    for name, words in (
        ("cut.png", "cut.png is damaged"),
        ("text.png", "text.png is no picture that aigc can read"),
        ("bomb.png", "bomb.png has more than 178 million pixels"),
    ):
        assert words in refused("fox", "--init-image", name)
        assert words in refused("fox", "--control-image", name)
        assert f"rows.csv:3: {words}" in refused("--prompts", write("rows.csv", f"prompt,init_image\nfox,whole.png\nfox,{name}\n"))
    assert not OUT.exists()


def test_a_mask_of_another_size() -> None:
    picture("红.png")
    picture("small.png", size=(32, 48))
    words = "small.png is 32 x 48, its picture 64 x 64"
    assert f"--mask {words}" in refused("fox", "--init-image", "红.png", "--mask", "small.png")
    rows = write("rows.csv", "prompt,mask\nfox,\nfox,small.png\n")
    assert f"rows.csv:3: mask {words}" in refused("--prompts", rows, "--init-image", "红.png")


def test_pictures_of_all_kinds_are_taken() -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    frames[0].save("moving.gif", save_all=True, append_images=frames[1:])
    picture("cmyk.jpg", "CMYK")
    Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save("clear.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture("turned.jpg", size=(64, 32), exif=exif)
    for name in ("moving.gif", "cmyk.jpg", "clear.png", "turned.jpg"):
        draw("fox", "--seed", 7, "--init-image", name)
    assert len(drawn()) == 4

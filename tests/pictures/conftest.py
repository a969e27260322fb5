"""Pictures with recipes."""

from __future__ import annotations

from pathlib import Path

import pytest

from aigc_cli.core.image import Pixels
from aigc_cli.pictures.metadata import encode_picture
from aigc_cli.pictures.recipe import Part, Recipe

PROMPT = '一只红狐狸, "quoted" in the snow: <lora:ink:0.7>'


def pixels(width: int = 48, height: int = 32, value: int = 0) -> Pixels:
    """A gradient, so that a picture turned or scaled is told from another."""
    return Pixels(width, height, bytes((x * 5 + y + c * 40 + value) % 256 for y in range(height) for x in range(width) for c in range(3)))


def recipe(prompt: str = PROMPT, seed: int = 7, **facts) -> Recipe:
    settings = {"prompt": prompt, "seed": seed, "steps": 5, "guidance_scale": 7.5, "scheduler": "euler-a", "width": 48, "height": 32}
    known = {
        "model": "someone/tiny-sd",
        "revision": "0123abcd",
        "parts": (Part("lora", "loras/ink.safetensors", 0.7, "ab" * 32),),
        "versions": {"aigc": "0.1.0", "torch": "2.13.0"},
        "device": "cpu",
        "dtype": "float32",
    }
    return Recipe(settings=settings, **(known | facts))


@pytest.fixture
def fox(tmp_path: Path) -> Path:
    """A PNG that tells how it was made."""
    path = tmp_path / "0001-狐狸-7.png"
    path.write_bytes(encode_picture(pixels(), recipe()))
    return path

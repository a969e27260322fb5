"""From a picture to what an autoencoder takes."""

from __future__ import annotations

import numpy
import torch
from PIL import Image, ImageOps
from torch import Tensor

from aigc_cli.backends.train.image.buckets import Shape

WHITE = 255


def to_pixels(picture: Image.Image, shape: Shape, channels: int) -> Tensor:
    """(channels, H, W) in -1..1, as `covered` and `to_array` bring them there."""
    return to_tensor(to_array(covered(picture, shape), channels)[None])[0]


def covered(picture: Image.Image, shape: Shape) -> Image.Image:
    """Scaled until it covers the shape, and cut to it around its centre."""
    if picture.size == shape.size:
        return picture
    return ImageOps.fit(picture, shape.size, Image.Resampling.LANCZOS)


def to_array(picture: Image.Image, channels: int) -> numpy.ndarray:
    """(H, W, channels) of 8 bits. channels: 4 keeps transparency, and what is wholly transparent is white; with 3, white shines through."""
    if channels == 4:
        pixels = numpy.array(picture.convert("RGBA"))
        pixels[pixels[..., 3] == 0, :3] = WHITE  # one colour where none is seen: else the autoencoder would learn to keep it
        return pixels
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, (WHITE,) * 4), picture)
    return numpy.array(picture.convert("RGB"))


def to_tensor(arrays: numpy.ndarray) -> Tensor:
    """(N, H, W, channels) of 8 bits to (N, channels, H, W) in -1..1."""
    return torch.from_numpy(arrays).permute(0, 3, 1, 2).float() / 127.5 - 1

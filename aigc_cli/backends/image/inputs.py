"""The pictures that go into a pipeline: the one to begin with, the mask over it, the canvas that outpainting grows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageOps

from aigc_cli.core.errors import UsageError
from aigc_cli.core.image import ImageRequest
from aigc_cli.pictures.alpha import white_where_clear
from aigc_cli.pictures.opening import ORIENTATION, open_file, open_picture, reading

FEATHER = 16  # pixels over which an outpainted picture passes into the old one, at most
DEFAULT_STRENGTH = 0.6  # enough for another style, not for another composition
JPEG_NOISE = 8  # levels of 255
SAME_PROPORTIONS = 0.02  # what rounding a size makes of them
SIDEWAYS = range(5, 9)  # EXIF orientations that swap width and height


@dataclass(frozen=True)
class Canvas:
    """What a picture begins with, in the size that is drawn.

    mask: white is drawn anew.  blend: how much of what was drawn shows in the end, pixel by pixel.  remarks: what was done to
    the files, in words.
    """

    image: Image.Image
    mask: Image.Image | None = None
    blend: Image.Image | None = None
    remarks: tuple[str, ...] = field(default=(), compare=False)

    def finish(self, drawn: Image.Image) -> Image.Image:
        """The old picture where the mask is black: a VAE changes what it only passes on."""
        return blended(drawn, self.image, self.blend) if self.blend else drawn


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height as it is seen, without decoding it. Raises: UsageError as open_picture."""
    with reading(path), open_file(path) as file:
        width, height = file.size
        return (height, width) if file.getexif().get(ORIENTATION) in SIDEWAYS else (width, height)


def cut_remark(path: Path, own: tuple[int, int], drawn: tuple[int, int]) -> list[str]:
    """For a picture whose proportions are others than those of the size that is drawn."""
    ratio = (drawn[0] * own[1]) / (drawn[1] * own[0])
    is_cut = abs(ratio - 1) > SAME_PROPORTIONS
    return [f"{path} has other proportions than {drawn[0]} x {drawn[1]}: its edges are cut off"] if is_cut else []


def make_canvas(request: ImageRequest, *, has_alpha: bool = False) -> Canvas:
    """request: complete, with an init image.  has_alpha: the model's, which draws in RGBA.

    Raises: UsageError for a file that is no picture, or a mask of another size.
    """
    assert request.init_image
    size = drawn_size(request)
    image, remarks = open_named(request.init_image, keep_alpha=has_alpha)
    if request.outpaint:
        canvas, mask, blend = outpainted(image, size, request.outpaint)
        return Canvas(canvas, mask, blend, remarks)
    fitted = ImageOps.fit(image, size, Image.Resampling.LANCZOS)
    if has_alpha:
        fitted = white_where_clear(fitted)
    if request.mask is None:
        return Canvas(fitted, remarks=remarks)
    mask, more = open_named(request.mask)
    if mask.size != image.size:
        sizes = f"{mask.width} x {mask.height}, the picture {image.width} x {image.height}"
        raise UsageError(f"the mask {request.mask} is {sizes}", "a mask has its picture's size: white is drawn anew, black stays")
    levels = mask.convert("L")
    if is_coloured(mask, levels):
        more = (*more, f"{request.mask}: its colours made grey, for a mask is black and white")
    grey = ImageOps.fit(levels, size, Image.Resampling.BILINEAR)
    return Canvas(fitted, grey.point(lambda value: 255 * (value >= 128)), grey, (*remarks, *more))


def is_coloured(image: Image.Image, levels: Image.Image) -> bool:
    """Whether a picture in RGB is more than its greys, by more than a JPEG of them would be."""
    return max(ImageChops.difference(image, levels.convert("RGB")).tobytes()) > JPEG_NOISE


def drawn_size(request: ImageRequest) -> tuple[int, int]:
    """Of a complete request."""
    if not (request.width and request.height):
        raise ValueError("the request has no size yet")
    return request.width, request.height


def open_named(path: Path, *, keep_alpha: bool = False) -> tuple[Image.Image, tuple[str, ...]]:
    """A picture in RGB, or RGBA, and remarks that name its file."""
    image, remarks = open_picture(path, keep_alpha=keep_alpha)
    return image, tuple(f"{path}: {remark}" for remark in remarks)


def blended(over: Image.Image, under: Image.Image, share: Image.Image) -> Image.Image:
    """As Image.composite: `over` where share (a mask in L) is white, `under` where it is black.

    Of two pictures in RGBA colours count by their alpha: what is not seen lends no colour to what is.
    """
    if over.mode != "RGBA":
        return Image.composite(over, under, share)
    first, second = np.asarray(over, np.float32), np.asarray(under, np.float32)  # (H, W, 4)
    weight = np.asarray(share, np.float32)[..., None] / 255
    alphas = weight * first[..., 3:], (1 - weight) * second[..., 3:]
    alpha = alphas[0] + alphas[1]
    colour = (alphas[0] * first[..., :3] + alphas[1] * second[..., :3]) / np.maximum(alpha, 1e-6)
    return white_where_clear(Image.fromarray(np.concatenate([colour, alpha], axis=-1).round().astype(np.uint8)))


def outpainted(image: Image.Image, size: tuple[int, int], border: int) -> tuple[Image.Image, Image.Image, Image.Image]:
    """The picture in the middle of a larger canvas, its edges drawn out; the mask; and the blend, feathered inwards."""
    left, top = (size[0] - image.width) // 2, (size[1] - image.height) // 2
    right, bottom = size[0] - image.width - left, size[1] - image.height - top
    canvas = Image.fromarray(np.pad(np.asarray(image), ((top, bottom), (left, right), (0, 0)), mode="edge"))
    feather = max(1, min(FEATHER, border, min(image.size) // 4))
    kept = np.minimum.outer(ramp(image.height, feather), ramp(image.width, feather))
    blend = np.full((size[1], size[0]), 255, np.uint8)
    blend[top : top + image.height, left : left + image.width] = np.round(255 * (1 - kept))
    return canvas, Image.fromarray(np.where(blend > 0, 255, 0).astype(np.uint8)), Image.fromarray(blend)


def ramp(length: int, feather: int) -> np.ndarray[Any, Any]:
    """From 0 at both ends to 1 in the middle, over so many pixels."""
    places = np.arange(length)
    return np.clip(np.minimum(places, places[::-1]) / feather, 0.0, 1.0)


def image_pipeline(pipe: Any, *, masked: bool) -> Any:
    """The family's pipeline that begins with a picture, over the same weights. Raises: UsageError where it has none."""
    from diffusers import AutoPipelineForImage2Image, AutoPipelineForInpainting  # bring every family's pipelines

    auto, what = (
        (AutoPipelineForInpainting, "redraw a part of a picture") if masked else (AutoPipelineForImage2Image, "begin with a picture")
    )
    try:
        return auto.from_pipe(pipe)
    except ValueError as error:
        family = type(pipe).__name__.removesuffix("Pipeline")
        raise UsageError(f"a {family} model cannot {what}", "leave out --init-image, or name another model with -m") from error


def picture_arguments(parameters: dict[str, Any], canvases: list[Canvas], requests: list[ImageRequest]) -> dict[str, Any]:
    """What a pipeline that begins with pictures is called with for them. parameters: of its call."""
    arguments: dict[str, Any] = {"image": [canvas.image for canvas in canvases]}
    if "strength" in parameters:
        arguments["strength"] = requests[0].strength
    if canvases[0].mask and "mask_image" in parameters:
        arguments["mask_image"] = [canvas.mask for canvas in canvases]
    return arguments


def control_arguments(parameters: dict[str, Any], requests: list[ImageRequest]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What a ControlNet pipeline is called with for the pictures that it follows, and what was done to their files, in words."""
    name = "control_image" if "control_image" in parameters else "image"
    pictures, remarks = [], []
    for request in requests:
        assert request.control_image
        size = drawn_size(request)
        picture, own = open_named(request.control_image)
        remarks += [*own, *cut_remark(request.control_image, picture.size, size)]
        pictures.append(ImageOps.fit(picture, size, Image.Resampling.LANCZOS))
    return {name: pictures, "controlnet_conditioning_scale": requests[0].control_scale}, tuple(dict.fromkeys(remarks))

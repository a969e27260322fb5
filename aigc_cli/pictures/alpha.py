"""Pictures that one can see through, RGBA with colours that are not multiplied with alpha: made of bytes, laid on a colour."""

from __future__ import annotations

from PIL import Image

from aigc_cli.core.image import ImageRequest, Pixels

WHITE = "white"


def image_of(pixels: Pixels) -> Image.Image:
    return Image.frombytes("RGBA" if pixels.channels == 4 else "RGB", (pixels.width, pixels.height), pixels.data)


def pixels_of(image: Image.Image) -> Pixels:
    """Of a picture in RGB or RGBA."""
    return Pixels(image.width, image.height, image.tobytes(), 4 if image.mode == "RGBA" else 3)


def ground_of(request: ImageRequest) -> str:
    """The colour that is seen through the request's picture where its transparency is not kept, and in the terminal."""
    return request.background or WHITE


def laid_on(image: Image.Image, colour: str) -> Image.Image:
    """In RGB; a picture without alpha as it is."""
    if image.mode != "RGBA":
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, colour), image).convert("RGB")


def white_where_clear(image: Image.Image) -> Image.Image:
    """With one colour where none is seen: resizing leaves black there, models anything, and they learn from white."""
    clear = image.getchannel("A").point(lambda alpha: 255 * (alpha == 0))
    whitened = image.copy()
    whitened.paste((255, 255, 255, 0), mask=clear)
    return whitened

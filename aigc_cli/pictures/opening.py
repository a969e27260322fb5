"""Opening a picture that a user names: whatever it is, it becomes upright RGB or RGBA, or one line says why it cannot."""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import cast

from PIL import Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

from aigc_cli.core.elision import elided
from aigc_cli.core.errors import UsageError
from aigc_cli.pictures.alpha import WHITE, laid_on, white_where_clear

# not every format that Pillow knows: its reader of EPS starts another program
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000")
TAKEN = "PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF, JPEG 2000 and PPM are taken"
PIXEL_LIMIT = 2 * (Image.MAX_IMAGE_PIXELS or 2**26)  # beyond it Pillow refuses to open a file
ORIENTATION = 0x0112  # the EXIF tag; 1 is upright
OF_A_BAD_FILE = (OSError, SyntaxError, ValueError, EOFError, RuntimeError, struct.error, zlib.error)  # RuntimeError: AVIF

# Large pictures and odd EXIF data are no news to the user.  Not around each file: what warnings.catch_warnings sets and puts back is
# one for all threads, and pictures are opened in several.
warnings.filterwarnings("ignore", module=r"PIL\.")


def open_picture(path: Path, *, keep_alpha: bool = False) -> tuple[Image.Image, tuple[str, ...]]:
    """The picture in RGB, turned upright, its colours in sRGB, and what had to be done for that, in words.

    keep_alpha: in RGBA, white where nothing is seen.
    Raises: UsageError for a file that is missing, damaged, no picture, or has more than PIXEL_LIMIT pixels; such a one
    is not decoded.
    """
    with reading(path), open_file(path) as file:
        remarks = list(frames_left_out(file))
        is_deep = has_16_bits(file)
        file.load()
        image, is_turned = upright(file)
        if is_turned:
            remarks.append("turned upright, as its EXIF data says")
        if is_deep:
            remarks.append("16 bits a channel made 8")
        image, converted = in_rgb_or_rgba(image, path)
        if keep_alpha:
            return white_where_clear(image.convert("RGBA")), (*remarks, *converted)
        if image.mode == "RGBA" and not is_opaque(image):
            converted = (*converted, "laid on white where it was transparent")
        return laid_on(image, WHITE), (*remarks, *converted)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Stands around all that reads the file. Raises: UsageError for whatever goes wrong with it."""
    name = elided(path)
    try:
        yield
    except FileNotFoundError:
        is_pattern = any(char in path.name for char in "*?[")
        raise UsageError(f"there is no file {name}", "no file's name fits the pattern" if is_pattern else "check the path") from None
    except IsADirectoryError:
        raise UsageError(f"{name} is a folder, not a picture", "name the files in it") from None
    except PermissionError:
        raise UsageError(f"{name} may not be read", "give yourself the right to read it") from None
    except Image.DecompressionBombError:
        raise UsageError(f"{name} has more than {PIXEL_LIMIT // 10**6} million pixels", "make it smaller with another program") from None
    except UnidentifiedImageError:
        raise UsageError(f"{name} is no picture that aigc can read", TAKEN) from None
    except OF_A_BAD_FILE as error:
        if isinstance(error, OSError) and error.errno is not None:  # the system's; a decoder's has no number
            raise UsageError(f"{name} cannot be read: {os.strerror(error.errno).lower()}", "check the path") from error
        raise UsageError(f"{name} is damaged: {str(error) or type(error).__name__}", "get it again from where it came from") from error


def is_damaged(path: Path) -> bool:
    """Whether it is a file that can be read, and there is no whole picture in it."""
    if not path.is_file():
        return False
    try:
        with open_file(path) as file:
            file.verify()  # a PNG's checksums, to its end
        with open_file(path) as file:
            file.load()
    except Image.DecompressionBombError:
        return False
    except OF_A_BAD_FILE as error:
        return not isinstance(error, OSError) or error.errno is None  # a decoder's, not the system's
    return False


def open_file(path: Path) -> ImageFile.ImageFile:
    """The file with its head read; pixels are decoded when they are asked for. Raises: as Pillow does."""
    if path.is_dir():
        raise IsADirectoryError(path)  # on Windows it would be a PermissionError
    return Image.open(path, formats=FORMATS)


def frames_left_out(file: Image.Image) -> Iterator[str]:
    count = getattr(file, "n_frames", 1)
    if count > 1 and file.format != "MPO":  # a camera's; the others are smaller copies and maps
        yield f"the first of its {count} frames taken"


def has_16_bits(file: ImageFile.ImageFile) -> bool:
    """Whether there is more in the file than its mode says: Pillow reads 16-bit RGB as 8-bit."""
    return any(";16" in str(part) for tile in file.tile for part in (tile.args if isinstance(tile.args, tuple) else (tile.args,)))


def upright(image: Image.Image) -> tuple[Image.Image, bool]:
    if image.getexif().get(ORIENTATION, 1) in range(2, 9):
        return ImageOps.exif_transpose(image), True
    return image, False


def in_rgb_or_rgba(image: Image.Image, path: Path) -> tuple[Image.Image, tuple[str, ...]]:
    """Any mode as RGB, or RGBA where it has transparency. What loses nothing, as of greys or a palette, is not worth a word."""
    if image.mode in ("I", "I;16", "I;16L", "I;16B"):
        image = from_16_bits(image, path)
    elif image.mode == "F":
        raise UsageError(f"{path} has floating-point pixels, which have no white", "save it with 8 or 16 bits a channel")
    image, remarks = in_srgb(image)
    if image.mode == "CMYK":
        remarks = (*remarks, "CMYK made RGB")
    return image.convert("RGBA" if image.has_transparency_data else "RGB"), remarks


def is_opaque(image: Image.Image) -> bool:
    """Of a picture in RGBA."""
    return image.getchannel("A").getextrema() == (255, 255)


def from_16_bits(image: Image.Image, path: Path) -> Image.Image:
    """Greys of 0 to 65,535 as greys of 0 to 255; Pillow's own conversion would cut them off at 255."""
    lowest, highest = cast(tuple[int, int], image.getextrema())
    if lowest < 0 or highest > 65_535:
        raise UsageError(f"{path} has 32 bits a pixel", "save it with 8 or 16 bits a channel")
    return image.convert("I").point(lambda value: value * (1 / 256) + 0).convert("L")


def in_srgb(image: Image.Image) -> tuple[Image.Image, tuple[str, ...]]:
    """Follows the colour profile, where there is one of another kind than sRGB, of a picture in RGB or CMYK."""
    data = image.info.get("icc_profile")
    if not data or image.mode not in ("RGB", "RGBA", "CMYK"):
        return image, ()
    try:
        profile = ImageCms.getOpenProfile(BytesIO(data))
        name = ImageCms.getProfileDescription(profile).strip()
        if "sRGB" in name:
            return image, ()
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        converted = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, OSError):
        return image, ("its colour profile left out: it cannot be read",)
    assert converted is not None  # it is None only for a change in place
    return converted, (f"its colours made sRGB from {name or 'another profile'}",)

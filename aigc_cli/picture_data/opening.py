"""Opening a picture that is learnt, whole or as a cell of a sheet: upright, 8 bits, sRGB, with its transparency."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock

from PIL import Image, ImageFile

from aigc_cli.core.errors import UsageError
from aigc_cli.data.row import BadRowError
from aigc_cli.data.split import content_bytes
from aigc_cli.picture_data.dataset import Cell, PictureRow
from aigc_cli.pictures.opening import has_16_bits, in_rgb_or_rgba, is_opaque, open_file, reading, upright

SHEET_PIXELS = 2**27  # that are kept open: half a GiB in RGBA
NAMES = {"CMYK": "CMYK", "P": "palette", "PA": "palette", "1": "grey", "L": "grey", "LA": "grey", "I": "grey"}


class OpenSheets:
    """The sheets that were read last, so that ten thousand cells do not decode theirs ten thousand times. Threads may share it."""

    def __init__(self, most_pixels: int) -> None:
        self.most_pixels = most_pixels
        self.images: OrderedDict[Path, Image.Image] = OrderedDict()
        self.lock = Lock()

    def get(self, path: Path) -> Image.Image:
        with self.lock:
            if path not in self.images:
                self.images[path], _ = decode(path)
            self.images.move_to_end(path)
            while len(self.images) > 1 and sum(image.width * image.height for image in self.images.values()) > self.most_pixels:
                self.images.popitem(last=False)
            return self.images[path]

    def close(self) -> None:
        with self.lock:
            self.images.clear()


SHEETS = OpenSheets(SHEET_PIXELS)  # to be closed when all pictures were read


def open_row(row: PictureRow) -> Image.Image:
    """The picture in RGB, or in RGBA where some of it is transparent.

    Raises: UsageError when it is not what it was when it was checked.
    """
    image = SHEETS.get(row.path) if row.cell else decode(row.path)[0]
    try:
        picture = cut_out(image, row.cell)
    except BadRowError:
        raise changed_since(row) from None
    if content_of(pixel_digest(picture), row.captions) != row.content:
        raise changed_since(row)
    return picture


def changed_since(row: PictureRow) -> UsageError:
    return UsageError(f"{row.path} has changed since it was checked", "run the command again when nothing writes to it")


def decode(path: Path) -> tuple[Image.Image, tuple[str, ...]]:
    """The whole picture in RGB or RGBA, and what had to be done for that, in words that many pictures can share.

    Raises: UsageError as pictures.opening does.
    """
    with reading(path), open_file(path) as file:
        changes = list(changes_of(file))
        file.load()
        image, is_turned = upright(file)
        if is_turned:
            changes.append("turned upright")
        image, others = in_rgb_or_rgba(image, path)
    changes += [remark.removeprefix("its ") for remark in others]
    return image, tuple(dict.fromkeys(changes))


def changes_of(file: ImageFile.ImageFile) -> Iterator[str]:
    """What its head says that will have to be done."""
    if getattr(file, "is_animated", False) and file.format != "MPO":  # a camera's: the other frames are smaller copies
        yield "first of several frames taken"
    if has_16_bits(file):
        yield "16 bits a channel made 8"
    mode = file.mode.partition(";")[0]
    if mode in NAMES:
        yield f"{NAMES[mode]} made RGB"


def cut_out(image: Image.Image, cell: Cell | None) -> Image.Image:
    """A picture of its own. Raises: BadRowError for a cell that does not lie on the sheet."""
    if cell is None:
        return without_idle_alpha(image)
    right, bottom = cell.left + cell.width, cell.top + cell.height
    if right > image.width or bottom > image.height:
        where = f"{cell.width} x {cell.height} pixels at {cell.left}, {cell.top}"
        raise BadRowError(f"the cell ({where}) lies outside the sheet, which has {image.width} x {image.height}")
    return without_idle_alpha(image.crop((cell.left, cell.top, right, bottom)))


def without_idle_alpha(image: Image.Image) -> Image.Image:
    """In RGB where nothing can be seen through."""
    return image.convert("RGB") if image.mode == "RGBA" and is_opaque(image) else image


def pixel_digest(image: Image.Image) -> bytes:
    """SHA-256 of size, mode and pixels."""
    digest = hashlib.sha256(f"{image.mode} {image.width} {image.height}\n".encode())
    digest.update(image.tobytes())
    return digest.digest()


def content_of(pixels: bytes, captions: Sequence[str]) -> str:
    """SHA-256 in hex over the digest of the pixels and the captions."""
    return hashlib.sha256(pixels + content_bytes(captions)).hexdigest()

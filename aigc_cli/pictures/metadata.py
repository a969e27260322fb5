"""Pictures as files that say how they were made, and the reading of that: ours, A1111's text, ComfyUI's graph.

          PNG                                  JPEG, WebP
ours      iTXt `aigc`, JSON                    XMP aigc:recipe, JSON
A1111     tEXt `parameters`, iTXt if need be   EXIF UserComment, UTF-16
IPTC      XMP digitalSourceType                XMP digitalSourceType
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Literal

from PIL import ExifTags, Image, PngImagePlugin

from aigc_cli import __version__
from aigc_cli.core.errors import AigcError, UsageError
from aigc_cli.core.image import Pixels
from aigc_cli.pictures.a1111 import parameters_text, parse_parameters
from aigc_cli.pictures.alpha import image_of, laid_on
from aigc_cli.pictures.comfyui import parse_graph
from aigc_cli.pictures.opening import open_file, reading
from aigc_cli.pictures.recipe import Recipe, parse_recipe
from aigc_cli.pictures.xmp import recipe_in, xmp_packet

Format = Literal["png", "jpeg", "webp"]
SUFFIXES: dict[str, Format] = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
QUALITY = 90  # of 100, where a format loses something

KEYWORD = "aigc"
TEXT_KEYWORD = "parameters"
GRAPH_KEYWORD = "prompt"
XMP_KEYWORD = "XML:com.adobe.xmp"
TOOL = f"aigc {__version__}"

UNICODE, ASCII, UNDEFINED = b"UNICODE\0", b"ASCII\0\0\0", b"\0" * 8  # how an EXIF comment is encoded (Exif 2.32, 4.6.5)
SEGMENT_LIMIT = 65_533  # bytes that one segment of a JPEG holds
SEGMENT_HEADS = {"EXIF": len(b"Exif\0\0"), "XMP": len(b"http://ns.adobe.com/xap/1.0/\0")}
SURROGATES = re.compile("[\ud800-\udfff]")


def encode_picture(
    pixels: Pixels, recipe: Recipe | None, form: Format = "png", quality: int | None = None, *, ground: str | None = None
) -> bytes:
    """The bytes of a file. recipe: None leaves out all metadata.  quality: 1 to 100, of JPEG and WebP.

    ground: the colour that is seen through a picture with alpha; None keeps its alpha, for which a JPEG has no place.
    Raises: UsageError for a recipe that is longer than a JPEG's segments.
    """
    image = image_of(pixels)
    return encode_image(image if ground is None else laid_on(image, ground), recipe, form, quality)


def encode_image(image: Image.Image, recipe: Recipe | None, form: Format = "png", quality: int | None = None) -> bytes:
    """As encode_picture, of a picture in RGB or RGBA."""
    encode = {"png": png, "jpeg": jpeg, "webp": webp}[form]
    return encode(image, recipe, QUALITY if quality is None else quality)


def png(image: Image.Image, recipe: Recipe | None, quality: int) -> bytes:
    """Without loss, whatever the quality."""
    chunks = PngImagePlugin.PngInfo()
    if recipe:
        chunks.add_itxt(KEYWORD, to_text(recipe))
        chunks.add_text(TEXT_KEYWORD, encodable(parameters_text(recipe)))  # as iTXt where Latin-1 does not do
        chunks.add_itxt(XMP_KEYWORD, xmp_packet(TOOL))
    file = BytesIO()
    image.save(file, "PNG", pnginfo=chunks)
    return file.getvalue()


def jpeg(image: Image.Image, recipe: Recipe | None, quality: int) -> bytes:
    blocks = exif_and_xmp(recipe) if recipe else {}
    for name, limit in SEGMENT_HEADS.items():
        if len(blocks.get(name.lower(), b"")) > SEGMENT_LIMIT - limit:
            raise UsageError("a JPEG has no room for so long a recipe", "write another format: --format png; or use --no-metadata")
    file = BytesIO()
    image.save(file, "JPEG", quality=quality, subsampling="4:4:4" if quality >= QUALITY else "4:2:0", **blocks)
    return file.getvalue()


def webp(image: Image.Image, recipe: Recipe | None, quality: int) -> bytes:
    """100 is without loss, also of colours that nobody sees."""
    file = BytesIO()
    is_exact = quality == 100
    image.save(file, "WEBP", quality=quality, lossless=is_exact, exact=is_exact, **(exif_and_xmp(recipe) if recipe else {}))
    return file.getvalue()


def exif_and_xmp(recipe: Recipe) -> dict[str, bytes]:
    return {
        "exif": exif_block(UNICODE + encodable(parameters_text(recipe)).encode("utf-16-be")),
        "xmp": xmp_packet(TOOL, json.dumps(recipe.to_json())).encode(),
    }


def exif_block(comment: bytes) -> bytes:
    """EXIF data with a comment and nothing else.

    Pillow would write the comment's type as bytes, not as undefined (7), and then piexif, through which the web UI reads,
    gives numbers. Big-endian, for the comment has no mark of its byte order and readers take the file's or the big end.
    """
    head = b"MM\0*" + struct.pack(">L", 8)
    first = struct.pack(">HHHLLL", 1, ExifTags.IFD.Exif, 4, 1, 26, 0)  # count; tag, type (4 is a number), count, offset; no next
    second = struct.pack(">HHHLLL", 1, ExifTags.Base.UserComment, 7, len(comment), 44, 0)
    return b"Exif\0\0" + head + first + second + comment


def to_text(recipe: Recipe) -> str:
    return encodable(json.dumps(recipe.to_json(), ensure_ascii=False))


def encodable(text: str) -> str:
    """The text with lone surrogates, which no encoding has a place for, as JSON writes them."""
    return SURROGATES.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def read_recipe(path: Path) -> tuple[Recipe, tuple[str, ...]]:
    """How the picture was made, and what of it could not be taken, in words.

    Raises: AigcError for a picture that does not tell; UsageError as open_picture does.
    """
    with reading(path), open_file(path) as image:
        recipe, remarks = find_recipe(image)
        if recipe is None and isinstance(image, PngImagePlugin.PngImageFile):
            image.load()  # chunks may also stand behind the pixels
            recipe, remarks = find_recipe(image)
    if recipe is None:
        hint = "aigc, A1111 and ComfyUI write it into the file; --no-metadata and most sites that host pictures leave it out"
        raise AigcError(": ".join([f"{path} does not tell how it was made", *remarks]), hint)
    return recipe, remarks


def find_recipe(image: Image.Image) -> tuple[Recipe | None, tuple[str, ...]]:
    """The first that can be read, ours before A1111's before ComfyUI's, with a word on each that could not."""
    remarks: list[str] = []
    for name, text in candidates(image):
        try:
            recipe, said = PARSERS[name](text)
        except (ValueError, RecursionError):
            remarks.append(f"what it holds as {name!r} cannot be read")
        else:
            return recipe, (*remarks, *said)
    return None, tuple(remarks)


def candidates(image: Image.Image) -> Iterator[tuple[str, str]]:
    """Texts that a recipe may stand in, the best first."""
    texts = {name: text for name, text in image.info.items() if isinstance(text, str)}
    exif = image.getexif()
    if text := texts.get(KEYWORD) or recipe_in(as_bytes(image.info.get("xmp"))):
        yield KEYWORD, text
    if text := texts.get(TEXT_KEYWORD) or comment_text(exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment)):
        yield TEXT_KEYWORD, text
    if text := texts.get(GRAPH_KEYWORD) or graph_text(exif):
        yield GRAPH_KEYWORD, text


PARSERS: dict[str, Callable[[str], tuple[Recipe, tuple[str, ...]]]] = {
    KEYWORD: lambda text: parse_recipe(json.loads(text)),
    TEXT_KEYWORD: parse_parameters,
    GRAPH_KEYWORD: lambda text: parse_graph(json.loads(text)),
}


def as_bytes(value: object) -> bytes:
    return value.encode("utf-8", "replace") if isinstance(value, str) else value if isinstance(value, bytes) else b""


def comment_text(comment: object) -> str | None:
    """An EXIF comment; where that is UTF-16, in the byte order in which it makes sense."""
    if isinstance(comment, str):
        return comment
    if not isinstance(comment, bytes):
        return None
    code, body = comment[:8], comment[8:]
    if code == UNICODE:
        zeros_first = body[0:64:2].count(0) >= body[1:64:2].count(0)  # most of the text is ASCII, or the big end would win
        return body.decode("utf-16-be" if zeros_first else "utf-16-le", "replace").lstrip("\ufeff")
    return (body if code in (ASCII, UNDEFINED) else comment).decode("utf-8", "replace").strip("\0")


def graph_text(exif: Image.Exif) -> str | None:
    """ComfyUI's graph in a WebP: a text field of the camera's, after "prompt:"."""
    fields = (exif.get(tag) for tag in (ExifTags.Base.Make, ExifTags.Base.Model))
    return next((field.partition(":")[2] for field in fields if isinstance(field, str) and field.startswith(f"{GRAPH_KEYWORD}:")), None)

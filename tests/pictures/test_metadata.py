from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from PIL import Image, PngImagePlugin

from aigc_cli.core.errors import AigcError, UsageError
from aigc_cli.pictures.metadata import encode_picture, exif_block, read_recipe
from aigc_cli.pictures.xmp import DIGITAL_SOURCE_TYPE, recipe_in, xmp_packet
from tests.pictures.conftest import PROMPT, pixels, recipe

FORMATS = ["png", "jpeg", "webp"]
ODD_PROMPTS = [
    *("", "  spaces  ", "a\nb\r\nc\ttab", "Negative prompt: no\nSteps: 3"),
    *("🦊\U0010ffff", "\ud800 lone", "\x00\x1b[31m"),
]
PARAMETERS = "a fox\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x768"


def written(tmp_path, form="png", made=None, **options):
    path = tmp_path / f"图.{form}"
    path.write_bytes(encode_picture(pixels(), made, form, **options))
    return path


@pytest.mark.parametrize("form", FORMATS)
def test_a_recipe_comes_back_as_it_was(tmp_path, form):
    assert read_recipe(written(tmp_path, form, recipe())) == (recipe(), ())


@pytest.mark.parametrize("prompt", ODD_PROMPTS)
@pytest.mark.parametrize("form", FORMATS)
def test_any_prompt_comes_back(tmp_path, form, prompt):
    found, remarks = read_recipe(written(tmp_path, form, recipe(prompt)))
    assert (found.prompt, remarks) == (prompt, ())


def test_png_keeps_its_pixels(tmp_path):
    assert Image.open(written(tmp_path, "png", recipe())).tobytes() == pixels().data


def test_webp_of_quality_100_keeps_its_pixels(tmp_path):
    assert Image.open(written(tmp_path, "webp", recipe(), quality=100)).convert("RGB").tobytes() == pixels().data


@pytest.mark.parametrize("form", FORMATS)
def test_without_metadata_there_is_none(tmp_path, form):
    path = written(tmp_path, form)
    data = path.read_bytes()
    for word in (b"aigc", b"xmp", b"Exif", b"parameters", b"trained"):
        assert word not in data
    with pytest.raises(AigcError, match="does not tell how it was made"):
        read_recipe(path)


def test_equal_pictures_are_equal_files(tmp_path):
    assert encode_picture(pixels(), recipe()) == encode_picture(pixels(), recipe())


def test_pillow_shows_all_three_chunks(tmp_path):
    info = Image.open(written(tmp_path, "png", recipe())).info
    assert json.loads(info["aigc"])["settings"]["prompt"] == PROMPT
    assert info["parameters"].startswith(PROMPT)
    assert DIGITAL_SOURCE_TYPE in info["XML:com.adobe.xmp"]


def test_latin_text_is_an_ordinary_text_chunk(tmp_path):
    assert b"tEXtparameters\0caf\xe9" in written(tmp_path, "png", recipe("café")).read_bytes()
    assert b"iTXtparameters" in written(tmp_path, "png", recipe("咖啡")).read_bytes()


@pytest.mark.parametrize("form", ["jpeg", "webp"])
def test_the_comment_is_utf_16_of_type_undefined(tmp_path, form):
    exif = Image.open(written(tmp_path, form, recipe())).info["exif"]
    assert exif.removeprefix(b"Exif\0\0").startswith(b"MM")  # Pillow takes the prefix off a WebP's
    assert b"\x92\x86\x00\x07" in exif
    assert b"UNICODE\0" + "一只红狐狸".encode("utf-16-be") in exif


def test_a_recipe_too_long_for_a_jpeg(tmp_path):
    with pytest.raises(UsageError, match="no room for so long a recipe"):
        encode_picture(pixels(), recipe("x" * 40_000), "jpeg")
    assert read_recipe(written(tmp_path, "webp", recipe("x" * 40_000)))[0].prompt == "x" * 40_000


@pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
@pytest.mark.parametrize("form", FORMATS)
def test_exiftool_reads_it_and_its_changes_leave_the_recipe_alone(tmp_path, form):
    path = written(tmp_path, form, recipe())
    shown = json.loads(
        subprocess.run(["exiftool", "-j", "-G1", "-DigitalSourceType", "-warning", path], capture_output=True, check=True).stdout
    )
    assert shown[0]["XMP-iptcExt:DigitalSourceType"] == DIGITAL_SOURCE_TYPE
    assert not any("Warning" in key for key in shown[0])
    subprocess.run(["exiftool", "-q", "-overwrite_original", "-XMP-dc:Creator=某人", "-Artist=Me", path], check=True)
    assert read_recipe(path) == (recipe(), ())


def png_with(tmp_path, **texts):
    chunks = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        chunks.add_text(name, text)
    path = tmp_path / "other.png"
    Image.new("RGB", (8, 8)).save(path, pnginfo=chunks)
    return path


def test_a1111_s_text(tmp_path):
    found, remarks = read_recipe(png_with(tmp_path, parameters=PARAMETERS))
    assert found.source == "a1111"
    assert found.settings == {
        "prompt": "a fox",
        "negative_prompt": "blurry",
        "steps": 20,
        "guidance_scale": 7.0,
        "seed": 5,
        "width": 512,
        "height": 768,
        "scheduler": "euler-a",
    }
    assert remarks == ()


@pytest.mark.parametrize("encoding", ["utf-16-be", "utf-16-le"])
def test_a1111_s_text_in_a_jpeg_in_either_byte_order(tmp_path, encoding):
    path = tmp_path / "a.jpg"
    text = PARAMETERS.replace("a fox", "一只狐狸")
    Image.new("RGB", (8, 8)).save(path, exif=exif_block(b"UNICODE\0" + text.encode(encoding)))
    assert read_recipe(path)[0].settings["prompt"] == "一只狐狸"


def test_ours_counts_before_the_others(tmp_path):
    path = png_with(tmp_path, parameters=PARAMETERS, aigc=json.dumps(recipe("ours").to_json()))
    assert read_recipe(path)[0].prompt == "ours"


@pytest.mark.parametrize("ours", ["{", "[]", "7", '{"settings": 3}', "[" * 100_000])
def test_a_damaged_recipe_of_ours_is_said_and_the_next_one_taken(tmp_path, ours):
    found, remarks = read_recipe(png_with(tmp_path, aigc=ours, parameters=PARAMETERS))
    assert (found.source, remarks) == ("a1111", ("what it holds as 'aigc' cannot be read",))
    with pytest.raises(AigcError, match="does not tell how it was made: what it holds as 'aigc' cannot be read"):
        read_recipe(png_with(tmp_path, aigc=ours))


def test_a_chunk_behind_the_pixels_is_found(tmp_path):
    path = png_with(tmp_path, parameters=PARAMETERS)
    data = path.read_bytes()
    start = data.index(b"tEXt") - 4
    chunk = data[start : start + 12 + int.from_bytes(data[start : start + 4], "big")]
    end = data.index(b"IEND") - 4
    path.write_bytes(data[:start] + data[start + len(chunk) : end] + chunk + data[end:])
    assert read_recipe(path)[0].prompt == "a fox"


def test_an_xmp_packet_with_entities_is_not_parsed():
    packet = xmp_packet("aigc", "{}").replace("<x:xmpmeta", '<!DOCTYPE x [<!ENTITY a "b">]><x:xmpmeta', 1)
    assert recipe_in(packet.encode()) is None
    assert recipe_in(xmp_packet("aigc", '{"a": "<&\\""}').encode()) == '{"a": "<&\\""}'
    assert recipe_in(b"<x") is None

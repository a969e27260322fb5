from __future__ import annotations

import subprocess
import sys

import pytest
from PIL import Image

from aigc_cli.pictures.metadata import encode_picture, read_recipe
from tests.backends.image.tiny_upscalers import save_esrgan
from tests.pictures.conftest import PROMPT, pixels, recipe


@pytest.fixture
def fox(tmp_path):
    path = tmp_path / "0001-狐狸-7.png"
    path.write_bytes(encode_picture(pixels(), recipe()))
    return path


def test_lanczos_is_called_what_it_is_and_the_recipe_stays(run, tmp_path, fox):
    result = run("upscale", fox, "-o", tmp_path / "big")
    larger = tmp_path / "big" / fox.name
    assert (result.status, result.stdout) == (0, f"{larger}\n")
    assert "Lanczos: it adds no detail" in result.stderr
    with Image.open(larger) as image:
        assert image.size == (192, 128)
        assert "0123abcd" in image.info["aigc"]
        assert image.info["parameters"].startswith(PROMPT)
    kept, _ = read_recipe(larger)
    assert (kept.prompt, kept.seed, kept.settings["width"]) == (PROMPT, 7, 48)
    assert kept.edits == ("upscaled 4x by Lanczos, to 192 x 128",)
    assert list((tmp_path / "big").iterdir()) == [larger]


@pytest.mark.parametrize(("name", "written"), [("a.jpg", "a.jpg"), ("a.webp", "a.webp"), ("a.bmp", "a.png")])
def test_formats_keep_their_names(run, tmp_path, name, written):
    Image.new("RGB", (10, 6), "red").save(tmp_path / name)
    result = run("upscale", tmp_path / name, "-o", "big", "--scale", "1.5")
    assert result.status == 0
    assert result.stdout == f"big/{written}\n"
    assert ("written as a.png" in result.stderr) is (name == "a.bmp")
    assert Image.open(f"big/{written}").size == (15, 9)


def test_json_and_quiet(run, tmp_path, fox):
    [made] = run("upscale", "--json", "-q", fox, "-o", tmp_path / "big", "--scale", 2).events
    assert made["path"] == str(tmp_path / "big" / fox.name)
    assert (made["source"], made["width"], made["height"], made["by"]) == (str(fox), 96, 64, "Lanczos")
    assert run("upscale", "-q", fox, "-o", tmp_path / "more").stderr == ""


def test_metadata_that_is_lost_is_told(run, tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "Camera"
    exif[0x0112] = 6
    Image.new("RGB", (10, 6)).save(tmp_path / "photo.jpg", exif=exif)
    result = run("upscale", tmp_path / "photo.jpg", "-o", "big", "--scale", "2")
    assert "EXIF data is not carried over" in result.stderr
    assert "turned upright" in result.stderr
    assert Image.open("big/photo.jpg").size == (12, 20)


def test_nothing_is_overwritten_unasked(run, tmp_path, fox):
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / fox.name).write_text("mine")
    result = run("upscale", fox, "-o", tmp_path / "big")
    assert result.status == 2
    assert "--overwrite" in result.stderr
    assert (tmp_path / "big" / fox.name).read_text() == "mine"
    assert run("upscale", fox, "-o", tmp_path / "big", "--overwrite").status == 0
    assert run("upscale", fox, "-o", tmp_path).status == 2


def test_the_others_are_made_all_the_same(run, tmp_path, fox):
    (tmp_path / "bad.png").write_bytes(fox.read_bytes()[:100])
    result = run("upscale", tmp_path / "bad.png", fox, "-o", tmp_path / "big")
    assert (result.status, result.stdout) == (5, f"{tmp_path / 'big' / fox.name}\n")
    assert "1 of 2 pictures could not be made larger" in result.stderr
    assert run("upscale", tmp_path / "bad.png", "-o", tmp_path / "big").status == 2
    told, made, error = run("upscale", "--json", tmp_path / "bad.png", fox, "-o", tmp_path / "more").events
    assert (told["source"], made["source"], error["status"]) == (str(tmp_path / "bad.png"), str(fox), 5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gone.png", "-o", "big"], "there is no file gone.png"),
        (["fox.png", "-o", "fox.png"], "is a file, not a folder"),
        (["fox.png", "-o", "big", "--scale", "1"], "--scale"),
        (["fox.png", "-o", "big", "--scale", "17"], "--scale"),
        (["fox.png", "-o", "big", "--tile", "64"], "--tile"),
        (["fox.png", "-o", "big", "--device", "cpu"], "belong to --model"),
        (["fox.png", "fox.png", "-o", "big"], "would both become"),
        (["fox.png", "FOX.PNG", "-o", "big"], "would both become"),
        (["fox.png"], "--output"),
    ],
)
def test_bad_input(run, own_home, arguments, said):
    for name in ("fox.png", "FOX.PNG"):
        Image.new("RGB", (8, 8)).save(name)
    result = run("upscale", *arguments)
    assert result.status == 2
    assert said in result.stderr
    assert not (own_home / "work" / "big").exists()


class TestWithAModel:
    def test_it_enlarges_by_its_own_scale(self, run, tmp_path, fox):
        model = save_esrgan(tmp_path / "小.safetensors")
        result = run("upscale", fox, "-o", tmp_path / "big", "-m", model, "-v", "--dtype", "float32")
        assert result.status == 0
        assert "Lanczos" not in result.stderr
        assert "小.safetensors: ESRGAN, 2x, on cpu in float32" in result.stderr
        assert Image.open(tmp_path / "big" / fox.name).size == (96, 64)
        assert read_recipe(tmp_path / "big" / fox.name)[0].edits == ("upscaled 2x by 小.safetensors, to 96 x 64",)

    def test_another_scale_is_reached_by_lanczos_and_that_is_written_down(self, run, tmp_path, fox):
        model = save_esrgan(tmp_path / "a.safetensors")
        assert run("upscale", fox, "-o", tmp_path / "big", "-m", model, "--scale", 3).status == 0
        edits = read_recipe(tmp_path / "big" / fox.name)[0].edits
        assert edits == ("upscaled 2x by a.safetensors, then by Lanczos to 3x, to 144 x 96",)

    def test_json_tells_of_the_tiles(self, run, tmp_path):
        model = save_esrgan(tmp_path / "a.safetensors")
        Image.new("RGB", (130, 20)).save(tmp_path / "wide.png")
        events = run("upscale", "--json", tmp_path / "wide.png", "-o", "big", "-m", model, "--tile", 96).events
        assert [(event["done"], event["total"]) for event in events[:-1]] == [(0, 2), (1, 2), (2, 2)]
        assert events[-1]["by"] == "a.safetensors"

    def test_a_file_that_is_no_model(self, run, tmp_path, fox):
        assert run("upscale", fox, "-o", tmp_path / "big", "-m", tmp_path / "gone.safetensors").status == 3
        result = run("upscale", fox, "-o", tmp_path / "big", "-m", fox)
        assert result.status == 3
        assert "no ending of a file of weights" in result.stderr
        assert not (tmp_path / "big").exists()

    def test_without_spandrel_it_says_how_to_get_it(self, run, tmp_path, fox, monkeypatch):
        model = save_esrgan(tmp_path / "a.safetensors")
        monkeypatch.setitem(sys.modules, "spandrel", None)
        result = run("upscale", fox, "-o", tmp_path / "big", "-m", model)
        assert result.status == 1
        assert "pip install 'aigc-cli[upscale]'" in result.stderr


def test_lanczos_takes_no_engine(fox):
    code = f"""
import sys
from aigc_cli.__main__ import main
assert main(["upscale", {str(fox)!r}, "-o", "big"]) == 0
assert not [name for name in ("torch", "transformers", "diffusers", "numpy") if name in sys.modules]
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from aigc_cli.batch.output_folder import hold_output
from aigc_cli.core.errors import OutOfMemoryError
from aigc_cli.pictures.metadata import encode_picture, read_recipe
from tests.backends.image.tiny_upscalers import save_esrgan
from tests.conftest import run_here
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
    assert sorted(path.name for path in (tmp_path / "big").glob("[!.]*")) == [fox.name, "upscaled.jsonl"]


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
    assert "was not made from" in result.stderr
    assert "--overwrite" in result.stderr
    assert (tmp_path / "big" / fox.name).read_text() == "mine"
    assert run("upscale", fox, "-o", tmp_path / "big", "--overwrite").status == 0
    assert "would take its own place" in run("upscale", fox, "-o", tmp_path, "--overwrite").stderr


@pytest.fixture
def three(own_home):
    """Their names, in the working folder."""
    names = ["红.png", "blue.jpg", "lime.webp"]
    for name, colour in zip(names, ("red", "blue", "lime"), strict=True):
        Image.new("RGB", (16, 8), colour).save(name)
    return names


class TestAgain:
    def test_what_is_there_is_not_made_again(self, run, three):
        assert run("upscale", *three[:2], "-o", "big").status == 0
        written = {name: (Path("big") / name).stat().st_mtime_ns for name in three[:2]}
        result = run("upscale", *three, "-o", "big")
        assert (result.status, result.stdout.split()) == (0, [f"big/{name}" for name in three])
        assert "3 pictures, 2 of them there already" in result.stderr
        assert {name: (Path("big") / name).stat().st_mtime_ns for name in three[:2]} == written
        made = run("upscale", "--json", *three, "-o", "big").events
        assert [(event["path"], event["was_there"]) for event in made] == [(f"big/{name}", True) for name in three]

    def test_a_model_is_not_loaded_for_nothing(self, run, three, tmp_path, monkeypatch):
        model = save_esrgan(tmp_path / "a.safetensors")
        assert run("upscale", *three, "-o", "big", "-m", model).status == 0
        monkeypatch.setattr("aigc_cli.backends.image.upscale.Upscaler", None)
        assert run("upscale", *three, "-o", "big", "-m", model).status == 0

    @pytest.mark.parametrize("change", ["source", "scale", "result", "record"])
    def test_what_was_made_otherwise_is_not_taken_for_it(self, run, three, change):
        assert run("upscale", *three, "-o", "big").status == 0
        if change == "source":
            Image.new("RGB", (16, 8), "black").save(three[0])
        elif change == "result":
            Image.new("RGB", (64, 32), "black").save(Path("big") / three[0])
        elif change == "record":
            lines = Path("big/upscaled.jsonl").read_bytes().splitlines(keepends=True)
            Path("big/upscaled.jsonl").write_bytes(lines[0][:50] + b"\n" + b"".join(lines[1:]))
        result = run("upscale", *three, "-o", "big", *(["--scale", 2] if change == "scale" else []))
        assert (result.status, result.stdout) == (2, "")
        assert f"big/{three[0]} is there already, and was not made from {three[0]} as it is now, in this way" in result.stderr
        assert run("upscale", *three, "-o", "big", "--overwrite", *(["--scale", 2] if change == "scale" else [])).status == 0

    def test_a_picture_that_was_lost_is_made_again(self, run, three):
        assert run("upscale", *three, "-o", "big").status == 0
        (Path("big") / three[1]).unlink()
        result = run("upscale", *three, "-o", "big")
        assert (result.status, "2 of them there already" in result.stderr) == (0, True)
        assert Image.open(Path("big") / three[1]).size == (64, 32)

    @pytest.mark.parametrize("moment", ["before the record", "before the name"])
    def test_killed_it_goes_on_and_no_half_file_stays(self, three, moment):
        """SIGKILL in the middle of the second picture, as nothing can be cleaned up then."""
        where = "aigc_cli.batch.enlarged.append_line" if moment == "before the record" else "pathlib.Path.replace"
        code = f"""
import os, signal, sys
from unittest.mock import patch
from aigc_cli.__main__ import main
import aigc_cli.batch.enlarged as enlarged, pathlib
real, calls = {where.replace("aigc_cli.batch.", "")}, iter(range(9))
def killed(*arguments):
    if next(calls) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)
with patch({where!r}, killed):
    main(["upscale", *{three!r}, "-o", "big"])
"""
        process = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
        assert process.returncode == -9
        assert len(list(Path("big").glob(".*.part"))) == 1
        assert not (Path("big") / three[1]).exists()
        result = run_here("upscale", *three, "-o", "big")
        assert (result.status, "1 of them there already" in result.stderr) == (0, True)
        assert not list(Path("big").glob(".*.part"))
        assert [Image.open(Path("big") / name).size for name in three] == [(64, 32)] * 3

    def test_two_runs_do_not_share_a_folder(self, run, three):
        with hold_output(Path("big")):
            assert run("upscale", *three, "-o", "big").status == 75


class TestBadPictures:
    @pytest.fixture
    def bad(self, own_home):
        whole = encode_picture(pixels(), recipe())
        Path("cut.png").write_bytes(whole[: len(whole) // 2])
        Path("text.png").write_text("no picture")
        Image.new("1", (4000, 4000)).save("large.png")
        Path("folder.png").mkdir()
        return ["cut.png", "text.png", "large.png", "folder.png", "gone.png"]

    def test_all_are_told_before_any_is_made(self, run, three, bad):
        result = run("upscale", *three, *bad, "-o", "big")
        assert (result.status, result.stdout) == (2, "")
        assert "5 of 8 pictures cannot be made larger\n" in result.stderr
        for words in (
            "cut.png is damaged",
            "text.png is no picture",
            "large.png: 16000 x 16000 pixels are too many",
            "folder.png is a folder, not a picture",
            "there is no file gone.png",
            "--skip-bad",
        ):
            assert words in result.stderr
        assert not Path("big").exists()

    def test_they_are_left_out_where_that_is_asked_for(self, run, three, bad):
        result = run("upscale", "--skip-bad", *bad, *three, "-o", "big")
        assert (result.status, result.stdout.split()) == (0, [f"big/{name}" for name in three])
        assert "5 of 8 pictures cannot be made larger and are left out\ncut.png is damaged" in result.stderr
        events = run("upscale", "--json", "--skip-bad", *bad, *three, "-o", "big").events
        assert [event["source"] for event in events] == [*bad, *three]
        assert run("upscale", "--skip-bad", *bad, "-o", "big").status == 2

    def test_what_only_the_model_can_tell(self, run, three, tmp_path, monkeypatch):
        monkeypatch.setattr("aigc_cli.pictures.upscale.PIXEL_LIMIT", 1000)
        Image.new("RGB", (8, 8)).save("small.png")
        model = save_esrgan(tmp_path / "a.safetensors")
        Image.new("RGB", (40, 40)).save("wide.png")
        assert "wide.png: 80 x 80 pixels are too many" in run("upscale", "small.png", "wide.png", "-o", "big", "-m", model).stderr
        result = run("upscale", "small.png", "wide.png", "-o", "big", "-m", model, "--skip-bad")
        assert (result.status, result.stdout) == (0, "big/small.png\n")


def test_the_others_are_made_all_the_same(run, three, tmp_path, monkeypatch):
    model = save_esrgan(tmp_path / "a.safetensors")

    with monkeypatch.context() as patch:
        patch.setattr("torch.nn.Module.__call__", lambda *arguments: (_ for _ in ()).throw(RuntimeError("a layer broke")))
        assert "ESRGAN failed: a layer broke" in run("upscale", *three, "-o", "none", "-m", model).stderr
    with monkeypatch.context() as patch:
        patch.setattr("aigc_cli.backends.image.upscale.Upscaler.__call__", failing_for_blue)
        result = run("upscale", *three, "-o", "big", "-m", model)
        assert (result.status, result.stdout.split()) == (5, ["big/红.png", "big/lime.webp"])
        assert "blue.jpg: out of memory" in result.stderr
        assert "1 of 3 pictures could not be made larger\n      the reasons stand above; the same command tries them again" in result.stderr
    assert run("upscale", *three, "-o", "big", "-m", model).status == 0


def failing_for_blue(upscaler, image):
    if image.getpixel((0, 0))[2] > 200:
        raise OutOfMemoryError("out of memory", "use a smaller --tile")
    return image.resize((image.width * 2, image.height * 2))


def test_a_full_folder_keeps_what_is_done(run, three, monkeypatch):
    real, calls = Path.replace, iter(range(9))

    def replace(self, target):
        if next(calls) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        result = run("upscale", *three, "-o", "big")
    assert (result.status, result.stdout) == (1, "big/红.png\n")
    assert "no room is left in big\n      make room, and give the same command again: what is done stays done" in result.stderr
    assert run("upscale", *three, "-o", "big").status == 0


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
        assert "'.[upscale]'" in result.stderr


def test_lanczos_takes_no_engine(fox):
    code = f"""
import sys
from aigc_cli.__main__ import main
assert main(["upscale", {str(fox)!r}, "-o", "big"]) == 0
assert not [name for name in ("torch", "transformers", "diffusers", "numpy") if name in sys.modules]
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)

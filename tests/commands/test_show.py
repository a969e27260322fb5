from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
from PIL import Image, PngImagePlugin

from aigc_cli.commands.show import show_file
from aigc_cli.pictures.metadata import encode_picture
from aigc_cli.render.output import Output
from tests.pictures.conftest import PROMPT, pixels, recipe


@pytest.fixture
def pictures(tmp_path):
    """One of ours, one of A1111's, one that does not tell, and one that is no picture."""
    paths = {name: tmp_path / f"{name}.png" for name in ("狐狸", "a1111", "plain", "text")}
    paths["狐狸"].write_bytes(encode_picture(pixels(), recipe()))
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("parameters", "a cat\nSteps: 20, Sampler: Euler a, Seed: 5, Size: 8x8, Hires upscale: 2")
    Image.new("RGB", (8, 8)).save(paths["a1111"], pnginfo=chunks)
    Image.new("RGB", (8, 8)).save(paths["plain"])
    paths["text"].write_text("no picture")
    return paths


def test_a_recipe_is_shown(run, pictures):
    result = run("show", pictures["狐狸"])
    assert (result.status, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == str(pictures["狐狸"])
    assert lines[1].split(maxsplit=1) == ["prompt", PROMPT]
    shown = dict(line.strip().split(maxsplit=1) for line in lines[1:] if not line.strip().startswith(("guidance scale",)))
    assert shown["seed"] == "7"
    assert shown["model"] == "someone/tiny-sd at 0123abcd"
    assert shown["lora"] == f"loras/ink.safetensors at 0.7, sha256 {'ab' * 32}"


def test_figures_are_for_people(run, tmp_path):
    (tmp_path / "a.png").write_bytes(
        encode_picture(pixels(), recipe(batch_size=2, batch_position=0, score=0.31234567, options={"cache": True}, cache_drift=0.1234))
    )
    lines = [line.strip().split(maxsplit=3) for line in run("show", tmp_path / "a.png").stdout.splitlines()]
    assert ["place", "in", "batch", "1 of 2"] in lines
    assert ["score", "0.312"] in lines
    assert ["cache", "drift", "12.3%"] in lines


def test_json_is_a_line_for_each(run, pictures):
    ours, other = run("show", "--json", pictures["狐狸"], pictures["a1111"]).events
    assert ours["file"] == str(pictures["狐狸"])
    assert ours["settings"]["prompt"] == PROMPT
    assert ours["remarks"] == []
    assert (other["source"], other["settings"]["seed"]) == ("a1111", 5)
    assert other["remarks"] == ["not taken: Hires upscale: 2"]


def test_what_could_not_be_taken_is_said(run, pictures):
    result = run("show", pictures["a1111"])
    assert "written by" in result.stdout
    assert "not taken: Hires upscale: 2" in result.stderr


@pytest.mark.parametrize(("name", "status", "said"), [("plain", 1, "does not tell how it was made"), ("text", 2, "is no picture")])
def test_one_that_cannot_be_shown(run, pictures, name, status, said):
    result = run("show", pictures[name])
    assert (result.status, result.stdout) == (status, "")
    assert said in result.stderr


def test_the_others_are_shown_all_the_same(run, pictures):
    result = run("show", pictures["plain"], pictures["狐狸"], pictures["a1111"])
    assert result.status == 1
    assert result.stdout.startswith(str(pictures["狐狸"]))
    assert f"\n\n{pictures['a1111']}\n" in result.stdout
    assert "1 of 3 pictures could not be shown" in result.stderr
    result = run("show", "--json", pictures["text"], pictures["plain"], pictures["狐狸"])
    assert result.status == 2
    assert [event.get("error", "").partition(".png ")[2] for event in result.events[:3]] == [
        "is no picture that aigc can read",
        "does not tell how it was made",
        "",
    ]
    assert result.events[2]["settings"]["seed"] == 7
    assert (result.events[3]["event"], result.events[3]["status"]) == ("error", 2)


def test_files_are_needed(run):
    assert run("show").status == 2
    assert "there is no file gone.png" in run("show", "gone.png").stderr


def test_on_a_terminal_the_picture_is_drawn_and_its_text_is_not_obeyed(tmp_path, monkeypatch, capsys):
    path = tmp_path / "evil.png"
    path.write_bytes(encode_picture(pixels(), recipe("fox\x1b]0;owned\x07\x1b[2J end")))
    drawn = []
    terminal_image = SimpleNamespace(draw=lambda picture, output, columns: drawn.append((picture.size, columns)))
    monkeypatch.setitem(sys.modules, "aigc_cli.render.terminal_image", terminal_image)
    output = Output()
    output.stdout_is_terminal = True
    show_file(path, output, after_another=False)
    shown = capsys.readouterr().out
    assert drawn == [((48, 32), 40)]
    assert "fox end" in shown
    assert "\x1b" not in shown


def test_a_recipe_is_read_without_an_engine(pictures):
    code = f"""
import sys
from aigc_cli.__main__ import main
assert main(["show", {str(pictures["狐狸"])!r}]) == 0
heavy = [name for name in ("torch", "transformers", "diffusers", "numpy") if name in sys.modules]
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)

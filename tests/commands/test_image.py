"""One picture: where it goes, what is said, and what its file tells."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.commands.imaging import OUT, draw, drawn, names, pixels, recipe, records, write
from tests.conftest import Result
from tests.fake_image import FakeImageEngine, pattern

Run = Callable[..., Result]
Fake = type[FakeImageEngine]

pytestmark = pytest.mark.usefixtures("fake_image")


def test_a_picture_goes_into_the_folder_and_its_path_alone_to_stdout(fake_image: Fake) -> None:
    result = draw("a red fox in the snow", "--seed", 7)
    assert result.stdout == "out/0001-a-red-fox-in-the-snow-7.png\n"
    assert names() == ["0001-a-red-fox-in-the-snow-7.png"]
    [[request]] = fake_image.batches
    picture = Image.open(result.stdout.strip())
    assert (picture.size, picture.tobytes()) == ((64, 64), pattern(request).data)
    assert "seed 7" in result.stderr
    assert "64 x 64" in result.stderr
    assert fake_image.closed == 1


def test_what_its_file_tells() -> None:
    draw("一只红狐狸", "--seed", 7, "--steps", 9, "--negative-prompt", "模糊", "--guidance-scale", "5.5", "--scheduler", "ddim")
    told = recipe(OUT / "0001-一只红狐狸-7.png")
    assert told["settings"] == {
        "prompt": "一只红狐狸",
        "seed": 7,
        "negative_prompt": "模糊",
        "width": 64,
        "height": 64,
        "steps": 9,
        "guidance_scale": 5.5,
        "scheduler": "ddim",
    }
    assert (told["model"], told["device"], told["dtype"], told["remarks"]) == ("tiny", "cpu", "float32", [])
    assert {"aigc", "torch", "diffusers"} <= set(told["versions"])
    assert len(told["fingerprint"]) == 64


def test_its_line_in_the_manifest() -> None:
    draw("一只狐狸\u2028", "--seed", 7)
    [record] = records()
    assert {name: record[name] for name in ("index", "status", "seed", "prompt", "file", "width", "height", "base_seed")} == {
        "index": 0,
        "status": "done",
        "seed": 7,
        "prompt": "一只狐狸",
        "file": "0001-一只狐狸-7.png",
        "width": 64,
        "height": 64,
        "base_seed": 7,
    }
    assert record["size"] == (OUT / record["file"]).stat().st_size
    assert not list(OUT.glob("*.part"))


def test_without_a_seed_another_one_is_drawn_each_time_and_told() -> None:
    first, second = draw("fox"), draw("fox")
    assert first.stdout != second.stdout
    seed = records()[0]["seed"]
    assert f"seed {seed}" in first.stderr
    assert first.stdout == f"out/0001-fox-{seed}.png\n"
    before = pixels()
    draw("fox", "--seed", seed, "-o", "again")
    assert list(pixels(Path("again")).values()) == [before[f"0001-fox-{seed}.png"]]


def test_several_from_one_prompt_count_their_seeds() -> None:
    result = draw("fox", "-n", 3, "--seed", 4294967295)
    assert result.stdout.splitlines() == ["out/0001-fox-4294967295.png", "out/0002-fox-0.png", "out/0003-fox-1.png"]
    assert "3 pictures, seed 4294967295" in result.stderr


def test_events_are_told_as_json() -> None:
    result = draw("一只狐狸", "--seed", 7, "--json")
    kinds = [event["event"] for event in result.events if event["event"] != "progress"]
    assert kinds == ["images_planned", "loaded", *["image_step"] * 4, "image", "done"]
    assert (result.events[0]["pictures"], result.events[0]["seed"]) == (1, 7)
    step, image, done = result.events[-6], result.events[-2], result.events[-1]
    assert (step["index"], step["step"], step["steps"], "preview" in step) == (0, 1, 4, False)
    assert {name: image[name] for name in ("index", "path", "seed", "width", "height", "prompt")} == {
        "index": 0,
        "path": "out/0001-一只狐狸-7.png",
        "seed": 7,
        "width": 64,
        "height": 64,
        "prompt": "一只狐狸",
    }
    assert (done["seed"], done["model"], done["device"], done["dtype"]) == (7, "tiny", "cpu", "float32")
    assert done["peak_memory"] > 0
    assert "aigc" not in result.stderr


def test_times_in_json_count_from_the_loaded_weights_on_through_all_groups() -> None:
    events = draw("fox", "-n", 2, "--batch-size", 1, "--width", 100, "--seed", 7, "--json").events
    at = next(number for number, event in enumerate(events) if event["event"] == "loaded")
    times = [event["t"] for event in events[at + 1 :]]
    assert {"warning", "image_step", "image", "done"} <= {event["event"] for event in events[at + 1 :]}
    assert events[at]["t"] == 0.0
    assert times == sorted(times)
    assert 0 < times[0] < times[-1] <= events[-1]["seconds"]


def test_previews_in_json_when_they_are_asked_for() -> None:
    steps = [event for event in draw("fox", "--seed", 7, "--json", "--preview", "every").events if event["event"] == "image_step"]
    assert [Image.open(io.BytesIO(base64.b64decode(step["preview"]))).size for step in steps] == [(8, 8)] * 4
    steps = [event for event in draw("fox", "--seed", 8, "--json", "--preview", "final").events if event["event"] == "image_step"]
    assert ["preview" in step for step in steps] == [False, False, False, True]


def test_bytes_on_stdout(aigc_stdout: Callable[..., bytes]) -> None:
    content = aigc_stdout("fox", "--seed", "7", "-o", "-")
    picture = Image.open(io.BytesIO(content))
    assert (picture.format, picture.size) == ("PNG", (64, 64))
    assert json.loads(picture.info["aigc"])["settings"]["seed"] == 7
    assert not OUT.exists()


@pytest.fixture
def aigc_stdout(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bytes]:
    """Runs the command and gives what it wrote to stdout, bytes that are no text."""
    from aigc_cli.__main__ import main

    def call(*args: str) -> bytes:
        stdout = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        monkeypatch.setattr("sys.stdout", stdout)
        monkeypatch.setattr("sys.stdin", None)
        assert main(["image", *args]) == 0
        return stdout.buffer.getvalue()

    return call


def test_quiet_leaves_the_path_and_nothing_else() -> None:
    result = draw("fox", "--seed", 7, "-q")
    assert (result.stdout, result.stderr) == ("out/0001-fox-7.png\n", "")
    assert (
        draw("fox", "--seed", 7, "--width", 100, "-q").stderr == "aigc: 100 x 64 is drawn as 96 x 64\n"
    )  # what changes the result is said


def test_a_prompt_from_stdin() -> None:
    draw(input="一只狐狸\n")
    draw("-", "--seed", 3, input="\ufeffa cat\r\n")
    draw("in the snow", "--seed", 3, input="a dog\n")
    assert [prompt for [(prompt, _)] in drawn()] == ["一只狐狸", "a cat", "a dog\n\nin the snow"]


@pytest.mark.parametrize(("form", "suffix", "kind"), [("png", "png", "PNG"), ("jpeg", "jpg", "JPEG"), ("webp", "webp", "WEBP")])
def test_formats(form: str, suffix: str, kind: str) -> None:
    draw("狐狸", "--seed", 7, "--format", form)
    path = OUT / f"0001-狐狸-7.{suffix}"
    assert Image.open(path).format == kind
    assert recipe(path)["settings"]["prompt"] == "狐狸"


def test_no_metadata(run: Run) -> None:
    draw("fox", "--seed", 7, "--no-metadata")
    result = run("show", OUT / "0001-fox-7.png")
    assert (result.status, "does not tell how it was made" in result.stderr) == (1, True)
    assert b"fox" not in (OUT / "0001-fox-7.png").read_bytes()


def test_names_by_a_template() -> None:
    draw("狐狸", "--seed", 7, "--filename", "{model}_{width}x{height}_{steps:02d}_{slug}")
    assert names() == ["tiny_64x64_04_狐狸.png"]


def test_a_name_that_is_taken_is_told_apart() -> None:
    draw("fox", "--seed", 7, "--filename", "{slug}")
    first = (OUT / "fox.png").read_bytes()
    draw("fox", "--seed", 8, "--filename", "{slug}")
    assert names() == ["fox-2.png", "fox.png"]
    assert (OUT / "fox.png").read_bytes() == first
    draw("fox", "--seed", 9, "--filename", "{slug}", "--overwrite")
    assert recipe(OUT / "fox.png")["settings"]["seed"] == 9


def test_what_was_replaced_is_not_called_damaged_later() -> None:
    draw("fox", "--seed", 7, "--filename", "{slug}")
    draw("fox", "--seed", 8, "--filename", "{slug}", "--overwrite")
    assert "not as aigc wrote" not in draw("fox", "--seed", 8, "--filename", "{slug}").stderr
    assert names() == ["fox.png"]


def test_the_same_again_is_there_already(fake_image: Fake) -> None:
    first = draw("fox", "--seed", 7)
    result = draw("fox", "--seed", 7)
    assert len(fake_image.opened) == 1
    assert result.stderr == "1 picture, there already, seed 7\n"
    assert draw("fox", "--seed", 7, "--json").events[1]["was_there"] is True
    assert first.stdout == "out/0001-fox-7.png\n"


def test_an_underscore_and_braces_may_be_meant() -> None:
    draw(r"a \{sign\} with \_\_dots\_\_", "--seed", 7)
    assert drawn() == [[("a {sign} with __dots__", 7)]]


def test_pictures_to_begin_with_are_in_the_recipe() -> None:
    Image.new("RGB", (64, 64), "red").save("图.png")
    draw("fox", "--seed", 7, "--init-image", "图.png", "--strength", "0.5")
    told = recipe(OUT / "0001-fox-7.png")
    assert (told["settings"]["init_image"], told["settings"]["strength"]) == ("图.png", 0.5)
    [part] = told["parts"]
    assert (part["kind"], part["name"], len(part["sha256"])) == ("init_image", "图.png", 64)


def test_variations_share_their_seed(fake_image: Fake) -> None:
    draw("fox", "--seed", 7, "--variation", "0.1", "-n", 3)
    [batch] = fake_image.batches
    assert [(request.seed, request.variation, request.variation_seed) for request in batch] == [(7, 0.1, 8), (7, 0.1, 9), (7, 0.1, 10)]
    assert len(set(pixels().values())) == 3


def test_a_template_may_have_the_ending_that_files_get() -> None:
    draw("fox", "--seed", 7, "--filename", "x.png")
    draw("fox", "--seed", 7, "--filename", "{seed}.JPEG", "--format", "jpeg")
    assert names() == ["7.jpg", "x.png"]


@pytest.mark.parametrize(("name", "scheduler"), [("DPM++2M", "dpm++2m"), ("euler_a", "euler-a"), ("DPM++ 2M Karras", "dpm++2m-karras")])
def test_a_scheduler_s_name_in_another_spelling(fake_image: Fake, name: str, scheduler: str) -> None:
    draw("fox", "--scheduler", name)
    draw("--prompts", write("rows.csv", f"prompt,scheduler\nfox,{name}\n"))
    assert [batch[0].scheduler for batch in fake_image.batches] == [scheduler, scheduler]

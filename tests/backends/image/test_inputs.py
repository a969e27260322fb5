"""Pictures to begin with, masks, and canvases that grow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aigc_cli.backends.image.inputs import make_canvas, outpainted
from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Caution, ImageStep
from aigc_cli.core.image import Drawn, ImageRequest
from tests.backends.image.conftest import OpenEngine

Paths = dict[str, Path]
WITH_PICTURES = ("sd", "sdxl", "sd3", "flux", "z-image", "qwen")


@pytest.fixture
def files(tmp_path: Path) -> Paths:
    """A picture with a red left and a blue right half, and a mask over the right one."""
    picture, mask = Image.new("RGB", (96, 64), "red"), Image.new("L", (96, 64), 0)
    picture.paste("blue", (48, 0, 96, 64))
    mask.paste(255, (48, 0, 96, 64))
    paths = {"picture": tmp_path / "图.png", "mask": tmp_path / "mask.png"}
    picture.save(paths["picture"])
    mask.save(paths["mask"])
    return paths


def request(files: Paths, **options: Any) -> ImageRequest:
    return ImageRequest(prompt="a fox", init_image=files["picture"], **{"seed": 1, "steps": 4} | options)


def drawn(engine: Any, asked: list[ImageRequest]) -> list[np.ndarray[Any, Any]]:
    pixels = [event.pixels for event in engine.stream(asked) if isinstance(event, Drawn)]
    return [np.frombuffer(each.data, np.uint8).reshape(each.height, each.width, 3).astype(int) for each in pixels]


@pytest.mark.parametrize("family", WITH_PICTURES)
def test_a_picture_to_begin_with_gives_its_size_and_takes_part_of_the_steps(open_engine: OpenEngine, files: Paths, family: str) -> None:
    engine = open_engine(family)
    complete, _ = engine.complete(request(files, strength=0.5, width=96, height=64))
    other, _ = engine.complete(request(files, strength=0.5, width=96, height=64, seed=2))
    steps = {event.steps for event in engine.stream([complete]) if isinstance(event, ImageStep)}
    assert steps == {2}
    assert engine.kind(complete) == engine.kind(other)
    together = drawn(engine, [complete, other])
    assert together[0].shape == (64, 96, 3)
    assert np.abs(drawn(engine, [other])[0] - together[1]).max() <= 1


@pytest.mark.parametrize("family", WITH_PICTURES)
def test_black_in_a_mask_stays_as_it_was(open_engine: OpenEngine, files: Paths, family: str) -> None:
    engine = open_engine(family)
    complete, _ = engine.complete(request(files, mask=files["mask"], width=96, height=64))
    assert complete.strength == 1.0
    (pixels,) = drawn(engine, [complete])
    assert (pixels[:, :48] == (255, 0, 0)).all()
    assert np.abs(pixels[:, 48:] - (0, 0, 255)).mean() > 10


@pytest.mark.parametrize("family", ["sd", "flux"])
def test_outpainting_grows_the_picture_and_keeps_its_middle(open_engine: OpenEngine, files: Paths, family: str) -> None:
    engine = open_engine(family)
    complete, _ = engine.complete(request(files, outpaint=32))
    assert (complete.width, complete.height) == (160, 128)
    assert engine.complete(complete)[0] == complete
    (pixels,) = drawn(engine, [complete])
    assert (pixels[48:80, 48:80] == (255, 0, 0)).all()
    assert np.abs(pixels[:16] - pixels[64, 64]).mean() > 10


def test_the_feather_of_outpainting_lies_inside_the_old_picture() -> None:
    _, mask, blend = outpainted(Image.new("RGB", (96, 64), "red"), (160, 128), 32)
    shown = np.asarray(blend)
    assert (shown[:32] == 255).all()
    assert 0 < shown[40, 80] < 255
    assert (shown[48:80, 48:112] == 0).all()
    assert set(np.unique(np.asarray(mask))) == {0, 255}


def test_a_mask_of_another_size_is_refused(files: Paths, tmp_path: Path) -> None:
    Image.new("L", (32, 32)).save(tmp_path / "small.png")
    with pytest.raises(UsageError, match=r"small\.png is 32 x 32, the picture 96 x 64"):
        make_canvas(request(files, mask=tmp_path / "small.png", width=96, height=64))


def test_a_large_picture_is_drawn_in_the_models_own_size_and_that_is_said(open_engine: OpenEngine, tmp_path: Path) -> None:
    Image.new("RGB", (400, 100)).save(tmp_path / "wide.png")
    complete, remarks = open_engine("sd").complete(ImageRequest(prompt="x", seed=1, init_image=tmp_path / "wide.png"))
    assert (complete.width, complete.height) == (128, 32)
    assert "has 400 x 100 pixels and is drawn as 128 x 32: this model was made for 64 x 64" in remarks[0]


def test_one_side_alone_keeps_the_proportions(open_engine: OpenEngine, files: Paths) -> None:
    complete, _ = open_engine("sd").complete(request(files, width=48))
    assert (complete.width, complete.height) == (48, 32)


def test_exif_rotation_counts_for_the_size(open_engine: OpenEngine, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (64, 32), "red").save(tmp_path / "turned.jpg", exif=exif)
    engine = open_engine("sd")
    complete, _ = engine.complete(ImageRequest(prompt="x", seed=1, init_image=tmp_path / "turned.jpg", steps=4))
    assert (complete.width, complete.height) == (32, 64)
    said = [event.message for event in engine.stream([complete]) if event.event == "warning"]
    assert len(said) == 1
    assert "turned.jpg: turned upright" in said[0]


def test_a_coloured_mask_is_made_grey_and_that_is_said_once(open_engine: OpenEngine, files: Paths, tmp_path: Path) -> None:
    Image.new("RGB", (96, 64), "red").save(tmp_path / "红.png")
    Image.open(files["mask"]).convert("RGB").save(tmp_path / "grey.jpg")
    engine = open_engine("sd")

    def said(mask: Path) -> list[str]:
        asked, _ = engine.complete(request(files, mask=mask, width=96, height=64))
        return [event.message for event in engine.stream([asked]) if isinstance(event, Caution)]

    assert said(tmp_path / "红.png") == [f"{tmp_path / '红.png'}: its colours made grey, for a mask is black and white"]
    assert said(tmp_path / "红.png") == []
    assert said(files["mask"]) == said(tmp_path / "grey.jpg") == []


def test_a_strength_that_leaves_no_step_is_refused(open_engine: OpenEngine, files: Paths) -> None:
    with pytest.raises(UsageError, match="leaves no step to do"):
        open_engine("sd").complete(request(files, steps=1, strength=0.3))


def test_a_family_without_such_a_pipeline_says_so(open_engine: OpenEngine, files: Paths) -> None:
    with pytest.raises(UsageError, match="a Sana model cannot begin with a picture"):
        open_engine("sana").complete(request(files))


def test_a_family_that_takes_pictures_as_references_has_no_strength(open_engine: OpenEngine, files: Paths) -> None:
    engine = open_engine("flux2")
    with pytest.raises(UsageError, match="it has no --strength"):
        engine.complete(request(files, strength=0.5))
    asked = [engine.complete(request(files, width=64, height=64, seed=seed))[0] for seed in (1, 2)]
    assert engine.kind(asked[0]) != engine.kind(asked[1])
    assert drawn(engine, asked[:1])[0].shape == (64, 64, 3)


def test_a_missing_picture_is_found_before_anything_is_drawn(open_engine: OpenEngine, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        open_engine("sd").complete(ImageRequest(prompt="x", seed=1, init_image=tmp_path / "nothing.png"))


def test_a_control_image_without_a_controlnet_is_refused(open_engine: OpenEngine, files: Paths) -> None:
    with pytest.raises(UsageError, match="belongs to a ControlNet"):
        open_engine("sd").complete(ImageRequest(prompt="x", seed=1, control_image=files["picture"]))

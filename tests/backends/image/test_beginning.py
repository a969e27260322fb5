"""Pictures with transparency to begin with, whatever the number of latent channels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, HeunDiscreteScheduler
from PIL import Image

from aigc_cli.backends.device import Placement
from aigc_cli.backends.image.beginning import encoded
from aigc_cli.backends.image.engine import TorchImageEngine
from aigc_cli.backends.image.inputs import blended
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.image import Drawn, ImageRequest
from tests.backends.image.tiny_pipelines import icons

Paths = dict[str, Path]


@pytest.fixture(scope="module", params=[4, 8])
def engine(request: pytest.FixtureRequest) -> TorchImageEngine:
    torch.manual_seed(0)
    pipe = icons(latents=request.param)
    return TorchImageEngine.over(pipe, ModelSource(name="icons", kind="diffusers"), Placement("cpu", "float32", ""))


@pytest.fixture
def files(tmp_path: Path) -> Paths:
    """A picture, clear on the left and half red on the right, and a mask over the left."""
    picture, mask = Image.new("RGBA", (64, 64), (0, 0, 0, 0)), Image.new("L", (64, 64), 0)
    picture.paste((255, 0, 0, 128), (32, 0, 64, 64))
    mask.paste(255, (0, 0, 32, 64))
    paths = {"picture": tmp_path / "图.png", "mask": tmp_path / "mask.png"}
    picture.save(paths["picture"])
    mask.save(paths["mask"])
    return paths


def drawn(engine: TorchImageEngine, *asked: ImageRequest) -> list[np.ndarray[Any, Any]]:
    """(H, W, 4) of each."""
    complete = [engine.complete(each)[0] for each in asked]
    pixels = [event.pixels for event in engine.stream(complete, "every") if isinstance(event, Drawn)]
    return [np.frombuffer(each.data, np.uint8).reshape(each.height, each.width, each.channels).astype(int) for each in pixels]


def test_a_picture_is_drawn_with_transparency(engine: TorchImageEngine) -> None:
    (pixels,) = drawn(engine, ImageRequest(prompt="一只猫", seed=1, steps=3))
    assert pixels.shape == (64, 64, 4)
    assert 0 < pixels[..., 3].mean() < 255
    assert engine.complete(ImageRequest(prompt="x", seed=1, transparent=True))[0].transparent


def test_what_it_begins_with_is_encoded_and_shows(engine: TorchImageEngine, files: Paths) -> None:
    """With hardly any noise, the picture is what the VAE makes of it."""
    request = ImageRequest(prompt="x", seed=1, steps=100, init_image=files["picture"], strength=0.01)
    (pixels,) = drawn(engine, request)
    picture = torch.from_numpy(np.array(Image.open(files["picture"]), np.float32))
    picture[..., :3][picture[..., 3] == 0] = 255
    vae = engine.pipe.vae
    with torch.no_grad():
        latents = encoded(vae, picture.permute(2, 0, 1)[None] / 127.5 - 1, torch.Generator())
        seen = (vae.decode(latents).sample[0].clamp(-1, 1).permute(1, 2, 0).numpy() + 1) * 127.5
    assert np.abs(pixels[..., 3] - seen[..., 3]).mean() < 12
    assert np.abs(pixels[..., 3] - drawn(engine, ImageRequest(prompt="x", seed=1, steps=3))[0][..., 3]).mean() > 12


def test_a_batch_is_what_its_pictures_are_alone(engine: TorchImageEngine, files: Paths) -> None:
    asked = [ImageRequest(prompt="x", seed=seed, steps=4, init_image=files["picture"], mask=files["mask"]) for seed in (1, 2)]
    together = drawn(engine, *asked)
    assert np.abs(together[1] - drawn(engine, asked[1])[0]).max() <= 1
    assert np.abs(together[1] - together[0]).max() > 1


@pytest.mark.parametrize("scheduler", [None, DPMSolverMultistepScheduler, HeunDiscreteScheduler])
@pytest.mark.parametrize("strength", [None, 0.5])
def test_black_in_a_mask_stays_as_it_was(engine: TorchImageEngine, files: Paths, strength: float | None, scheduler: Any) -> None:
    own = engine.pipe.scheduler
    try:
        if scheduler:
            engine.pipe.scheduler = scheduler.from_config(own.config)
        request = ImageRequest(prompt="x", seed=1, steps=4, init_image=files["picture"], mask=files["mask"], strength=strength)
        (pixels,) = drawn(engine, request)
    finally:
        engine.pipe.scheduler = own
    assert (pixels[:, 32:] == (255, 0, 0, 128)).all()
    assert pixels[:, :32, 3].mean() > 10


def test_what_stays_is_known_to_the_steps(engine: TorchImageEngine, files: Paths) -> None:
    """Before the old picture is laid over it, what was drawn there comes from that picture's latents, to the last step."""
    kept: list[torch.Tensor] = []
    decode = engine.pipe.vae.decode
    engine.pipe.vae.decode = lambda latents, *rest, **options: (kept.append(latents), decode(latents, *rest, **options))[1]
    try:
        drawn(engine, ImageRequest(prompt="x", seed=1, steps=4, init_image=files["picture"], mask=files["mask"]))
    finally:
        del engine.pipe.vae.decode
    picture = torch.from_numpy(np.array(Image.open(files["picture"]), np.float32))
    picture[..., :3][picture[..., 3] == 0] = 255
    with torch.no_grad():
        own = encoded(engine.pipe.vae, picture.permute(2, 0, 1)[None] / 127.5 - 1, torch.Generator())
    assert torch.allclose(kept[-1][..., 8:] * engine.pipe.vae.config.scaling_factor, own[..., 8:], atol=1e-5)
    assert not torch.allclose(kept[-1][..., :8], own[..., :8], atol=0.1)


def test_outpainting_grows_it_and_keeps_its_middle(engine: TorchImageEngine, files: Paths) -> None:
    (pixels,) = drawn(engine, ImageRequest(prompt="x", seed=1, steps=3, init_image=files["picture"], outpaint=16))
    assert pixels.shape == (96, 96, 4)
    assert (pixels[40:56, 52:60] == (255, 0, 0, 128)).all()
    assert (pixels[40:56, 36:44, 3] == 0).all()


def test_a_large_picture_is_not_decoded_in_tiles_that_the_vae_cannot(engine: TorchImageEngine) -> None:
    engine.drawn_side = 4096
    try:
        assert engine.use_less_memory() is None
        assert not any("tiles" in remark for remark in engine.complete(ImageRequest(prompt="x", seed=1, width=2048, height=2048))[1])
    finally:
        engine.drawn_side = 0


def test_what_is_not_seen_lends_no_colour() -> None:
    clear_white, red = Image.new("RGBA", (3, 1), (255, 255, 255, 0)), Image.new("RGBA", (3, 1), (255, 0, 0, 255))
    share = Image.frombytes("L", (3, 1), bytes((0, 128, 255)))
    assert blended(clear_white, red, share).tobytes() == bytes((255, 0, 0, 255, 255, 0, 0, 127, 255, 255, 255, 0))
    opaque = Image.new("RGB", (3, 1), "blue"), Image.new("RGB", (3, 1), "red")
    assert blended(*opaque, share).tobytes() == Image.composite(*opaque, share).tobytes()

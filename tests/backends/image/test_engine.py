"""Every family draws, stops within a step, and draws in a batch what it draws alone."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from aigc_cli.backends.device import Placement
from aigc_cli.backends.image import drawing
from aigc_cli.backends.image.engine import TorchImageEngine
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import OutOfMemoryError, UsageError
from aigc_cli.core.events import Caution, Event, ImageStep
from aigc_cli.core.image import Drawn, ImageRequest, Pixels
from tests.backends.image.conftest import OpenEngine
from tests.backends.image.tiny_pipelines import FAMILIES, flux, stable_diffusion

PROMPTS = ("a fox", "一只红色的狐狸 in the snow, oil painting", "dog")


def requests(engine: TorchImageEngine, count: int = 3, **options: Any) -> list[ImageRequest]:
    asked = {"width": 64, "height": 96, "steps": 3} | options
    return [engine.complete(ImageRequest(prompt=PROMPTS[index], seed=index + 1, **asked))[0] for index in range(count)]


def pictures(events: Iterable[Event]) -> list[Pixels]:
    return [event.pixels for event in events if isinstance(event, Drawn)]


def draw(engine: TorchImageEngine, asked: Sequence[ImageRequest]) -> list[Pixels]:
    return pictures(engine.stream(asked))


def array(pixels: Pixels) -> np.ndarray[Any, Any]:
    return np.frombuffer(pixels.data, np.uint8).reshape(pixels.height, pixels.width, pixels.channels).astype(int)


def assert_same(one: Pixels, other: Pixels) -> None:
    """To what float32 rounds: sums in another order, so that a channel may fall on the other side of a step now and then."""
    difference = np.abs(array(one) - array(other))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.01


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_draws_a_batch_as_it_draws_each_picture_alone(open_engine: OpenEngine, family: str) -> None:
    engine = open_engine(family)
    asked = requests(engine)
    events = list(engine.stream(asked))
    together = pictures(events)
    assert [(event.index, event.step) for event in events if isinstance(event, ImageStep)] == [(i, s) for s in (1, 2, 3) for i in range(3)]
    assert all((pixels.width, pixels.height) == (64, 96) for pixels in together)
    for request, pixels in zip(asked, together, strict=True):
        assert_same(draw(engine, [request])[0], pixels)
    assert_same(draw(engine, [asked[2], asked[0]])[1], together[0])  # in another place
    assert np.abs(array(together[0]) - array(together[1])).mean() > 2  # and they differ from each other


@pytest.mark.parametrize("family", FAMILIES)
def test_closing_the_stream_stops_within_a_step(open_engine: OpenEngine, family: str) -> None:
    engine = open_engine(family)
    before = threading.active_count()
    stream = engine.stream(requests(engine, 1, steps=200))
    assert isinstance(next(stream), ImageStep)
    stream.close()
    assert threading.active_count() == before
    assert len(draw(engine, requests(engine, 1))) == 1  # nothing of the first is left


@pytest.mark.parametrize("family", FAMILIES)
def test_previews_are_small_pictures_of_every_step(open_engine: OpenEngine, monkeypatch: pytest.MonkeyPatch, family: str) -> None:
    monkeypatch.setattr(drawing, "PREVIEW_INTERVAL", 0.0)
    engine = open_engine(family)
    steps = [event for event in engine.stream(requests(engine, 2), "every") if isinstance(event, ImageStep)]
    assert len(steps) == 6
    for step in steps:
        assert step.preview
        image = Image.open(BytesIO(step.preview))
        assert image.width * 96 == image.height * 64
        assert image.width < 64
    final = [event.preview for event in engine.stream(requests(engine, 1), "final") if isinstance(event, ImageStep)]
    assert [preview is not None for preview in final] == [False, False, True]


def test_a_fast_model_spends_no_time_on_previews_that_nobody_can_see(open_engine: OpenEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "PREVIEW_INTERVAL", 3600.0)
    engine = open_engine("sd")
    shown = [event.preview is not None for event in engine.stream(requests(engine, 1), "every") if isinstance(event, ImageStep)]
    assert shown == [True, False, True]  # the first, and the last in any case


@pytest.mark.parametrize("scheduler", ["euler-a", "dpm++2m-sde", "ddpm", "lcm", "dpm2-a"])
def test_noise_within_the_sampling_is_the_pictures_own(open_engine: OpenEngine, scheduler: str) -> None:
    engine = open_engine("sd")
    asked = requests(engine, scheduler=scheduler)
    together = draw(engine, asked)
    for place in (2, 0):
        assert_same(draw(engine, [asked[place]])[0], together[place])


def test_a_scheduler_that_a_pipeline_gives_no_generator_draws_from_the_seed_too(open_engine: OpenEngine) -> None:
    engine = open_engine("flux")
    asked = requests(engine, scheduler="flow-euler-sde")
    assert_same(draw(engine, [asked[1]])[0], draw(engine, asked)[1])


def test_a_variation_goes_from_one_seed_to_the_other(open_engine: OpenEngine) -> None:
    engine = open_engine("sd")

    def at(share: float, seed: int = 1) -> np.ndarray[Any, Any]:
        request = ImageRequest(prompt="a fox", seed=seed, width=64, height=64, steps=2, variation=share, variation_seed=9)
        return array(draw(engine, [engine.complete(request)[0]])[0])

    plain, little, other, whole = at(0.0), at(0.1), at(0.0, seed=9), at(1.0)
    assert np.abs(whole - other).max() <= 1
    assert 0 < np.abs(little - plain).mean() < np.abs(other - plain).mean()


def test_what_is_left_open_comes_from_the_model(open_engine: OpenEngine) -> None:
    complete, remarks = open_engine("sd").complete(ImageRequest(prompt="x", seed=1))
    assert (complete.width, complete.height, complete.steps, complete.guidance_scale, complete.scheduler) == (64, 64, 50, 7.5, "pndm")
    assert remarks == ()
    complete, _ = open_engine("flux").complete(ImageRequest(prompt="x", seed=1))
    assert (complete.width, complete.steps, complete.guidance_scale, complete.scheduler) == (1024, 28, 3.5, "flow-euler")


def test_a_size_is_rounded_to_what_the_model_takes_and_that_is_said(open_engine: OpenEngine) -> None:
    complete, remarks = open_engine("flux").complete(ImageRequest(prompt="x", seed=1, width=100, height=64))
    assert (complete.width, complete.height) == (96, 64)
    assert remarks == ("100 x 64 is drawn as 96 x 64: this model takes multiples of 16",)
    assert open_engine("flux").complete(complete) == (complete, ())


def test_a_large_picture_is_decoded_in_tiles_and_that_is_said(open_engine: OpenEngine) -> None:
    _, remarks = open_engine("sd").complete(ImageRequest(prompt="x", seed=1, width=2048, height=1536))
    assert "decoded in tiles" in remarks[0]


@pytest.mark.parametrize(
    ("family", "options", "words"),
    [
        ("flux", {"negative_prompt": "rain"}, "takes no negative prompt"),
        ("flux2", {"negative_prompt": "rain"}, "takes no negative prompt"),
        ("sana", {"clip_skip": 1}, "no CLIP text encoder"),
        ("sd", {"scheduler": "euler-b"}, "there is no scheduler 'euler-b': did you mean euler-a"),
        ("sd", {"scheduler": "flow-euler"}, "--scheduler flow-euler does not fit this model"),
        ("sd3", {"scheduler": "ddim"}, "--scheduler ddim does not fit this model"),
        ("sd", {"scheduler": "乱"}, "there is no scheduler '乱'"),
    ],
)
def test_what_a_model_cannot_do_is_refused(open_engine: OpenEngine, family: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_engine(family).complete(ImageRequest(prompt="x", seed=1, **options))
    assert words in f"{caught.value.message}: {caught.value.hint}"


def test_a_negative_prompt_without_guidance_is_reported(open_engine: OpenEngine) -> None:
    _, remarks = open_engine("sd").complete(ImageRequest(prompt="x", seed=1, negative_prompt="rain", guidance_scale=1))
    assert remarks == ("with --guidance-scale 1 the negative prompt changes nothing",)


def test_kinds_that_were_distilled_take_few_steps_and_no_guidance() -> None:
    engine = over(flux(guidance_embeds=False))
    complete, _ = engine.complete(ImageRequest(prompt="x", seed=1))
    assert (complete.steps, complete.guidance_scale) == (4, 1.0)
    with pytest.raises(UsageError, match="takes no guidance"):
        engine.complete(ImageRequest(prompt="x", seed=1, guidance_scale=3.5))
    turbo = stable_diffusion()
    turbo.scheduler = type(turbo.scheduler).from_config(turbo.scheduler.config, timestep_spacing="trailing")
    assert over(turbo).complete(ImageRequest(prompt="x", seed=1))[0].steps == 4


def test_requests_of_one_kind_may_differ_in_prompt_and_seed_only(open_engine: OpenEngine) -> None:
    engine = open_engine("sd")
    one, other = requests(engine, 2)
    assert engine.kind(one) == engine.kind(other)
    for options in ({"width": 128}, {"steps": 4}, {"guidance_scale": 2.0}, {"scheduler": "ddim"}, {"clip_skip": 1}):
        assert engine.kind(requests(engine, 1, **options)[0]) != engine.kind(one)


def test_a_safety_checker_that_blackens_a_picture_is_said(open_engine: OpenEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_engine("sd")
    monkeypatch.setattr(type(engine.pipe), "run_safety_checker", lambda self, image, device, dtype: (image, [False, True]))
    said = [event.message for event in engine.stream(requests(engine, 2)) if isinstance(event, Caution)]
    assert said == ["the model's safety checker made picture 2 (seed 2) black"]


def test_out_of_memory_has_a_name_and_the_engine_goes_on(open_engine: OpenEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_engine("sd")
    asked = requests(engine, 1)

    def fail(*args: Any, **options: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(engine.pipe.unet, "forward", fail)
        with pytest.raises(OutOfMemoryError, match="out of memory on cpu") as caught:
            draw(engine, asked)
        assert caught.value.__cause__ is None  # nothing holds on to the tensors
    assert len(draw(engine, asked)) == 1


def over(pipe: Any) -> TorchImageEngine:
    return TorchImageEngine.over(pipe, ModelSource(name="tiny", kind="diffusers"), Placement("cpu", "float32", ""))

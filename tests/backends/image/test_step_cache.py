"""Steps that reuse earlier ones: fewer layers run, the picture stays close, and nothing is left behind."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
from PIL import Image

from aigc_cli.backends.device import Placement
from aigc_cli.backends.image import transformer_cache, unet_cache
from aigc_cli.backends.image.engine import TorchImageEngine
from aigc_cli.backends.image.load import load_pipeline
from aigc_cli.backends.image.memory import place
from aigc_cli.backends.image.sizes import denoiser
from aigc_cli.backends.image.step_cache import check_cache
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Caution, ImageStep, Remark
from aigc_cli.core.image import Drawn, ImageEngineOptions, ImageRequest
from tests.backends.image.tiny_pipelines import flux, stable_diffusion, tiny_pipeline

CPU = Placement("cpu", "float32", "")
UNETS = ("sd", "sdxl")
TRANSFORMERS = ("sd3", "flux", "flux2", "pixart", "sana", "z-image", "qwen")


def deep_pipeline(family: str) -> Any:
    """With three blocks in each list of a transformer."""
    pipe = tiny_pipeline(family)
    if family in UNETS:
        return pipe
    network = pipe.transformer
    wanted = {name: 3 for name in ("num_layers", "num_single_layers", "n_layers") if name in network.config}
    deeper = type(network).from_config(dict(network.config) | wanted)
    for weight in deeper.parameters():  # some blocks begin as the identity
        weight.data.normal_(0, 0.05)
    pipe.transformer = deeper.eval()
    return pipe


def over(pipe: Any, *, cache: bool) -> TorchImageEngine:
    return TorchImageEngine.over(pipe, ModelSource(name="tiny", kind="diffusers"), CPU, ImageEngineOptions(cache=cache))


def complete(engine: TorchImageEngine, prompt: str = "a fox", **options: Any) -> ImageRequest:
    return engine.complete(ImageRequest(prompt=prompt, seed=1, **{"width": 64, "height": 64, "steps": 6} | options))[0]


def draw(engine: TorchImageEngine, *requests: ImageRequest) -> list[np.ndarray[Any, Any]]:
    return [np.frombuffer(event.pixels.data, np.uint8).astype(int) for event in engine.stream(requests) if isinstance(event, Drawn)]


@contextmanager
def counted(module: Any) -> Iterator[list[int]]:
    calls: list[int] = []
    hook = module.register_forward_hook(lambda *_: calls.append(1))
    yield calls
    hook.remove()


def deep_block(pipe: Any) -> Any:
    """One that is passed by."""
    network = denoiser(pipe)
    return network.mid_block.resnets[0] if hasattr(network, "mid_block") else next(iter(transformer_cache.deep_lists(network).values()))[1]


@pytest.mark.parametrize("family", [*UNETS, *TRANSFORMERS])
def test_deep_layers_run_in_some_steps_only_and_the_picture_stays_close(family: str) -> None:
    pipe = deep_pipeline(family)
    plain, cached = over(pipe, cache=False), over(pipe, cache=True)
    asked = [complete(plain), complete(plain, "一只狐狸")]
    exact = draw(plain, *asked)
    with counted(deep_block(pipe)) as calls:
        draw(plain, asked[0])
        without = len(calls)
        calls.clear()
        near = draw(cached, *asked)
        every = unet_cache.WHOLE_EVERY if family in UNETS else transformer_cache.WHOLE_EVERY
        assert len(calls) == math.ceil(without / every)
    for one, other in zip(exact, near, strict=True):
        assert 0 < np.abs(one - other).mean() < 8
    for one, other in zip(draw(cached, *asked), near, strict=True):
        assert np.array_equal(one, other)  # nothing of the first run was reused
    assert np.abs(draw(cached, asked[1])[0] - near[1]).max() <= 1  # nor of a neighbour
    for one, other in zip(draw(plain, *asked), exact, strict=True):
        assert np.array_equal(one, other)  # and nothing is left behind


@pytest.mark.parametrize("family", ["sd", "flux"])
def test_what_a_cancelled_run_has_left_is_not_reused(family: str) -> None:
    engine = over(deep_pipeline(family), cache=True)
    expected = draw(engine, complete(engine))
    stream = engine.stream([complete(engine, "a dog", steps=50)])
    assert isinstance(next(stream), ImageStep)
    stream.close()
    assert np.array_equal(draw(engine, complete(engine))[0], expected[0])


@pytest.mark.parametrize("family", ["sd", "flux"])
def test_how_far_off_it_was_is_told(family: str) -> None:
    engine = over(deep_pipeline(family), cache=True)
    events = [*engine.stream([complete(engine)])]
    [drift] = [event.cache_drift for event in events if isinstance(event, Drawn)]
    assert drift
    assert 0 < drift < 1.5
    assert [event.message for event in events if isinstance(event, Remark)] == [
        f"what --cache reused was off by {drift:.1%} when it was computed again, in the mean"
    ]
    [plain] = [event for event in over(engine.pipe, cache=False).stream([complete(engine)]) if isinstance(event, Drawn)]
    assert plain.cache_drift is None


def test_a_prediction_without_the_prompt_has_a_memory_of_its_own() -> None:
    engine = over(deep_pipeline("flux2"), cache=True)
    assert not np.array_equal(draw(engine, complete(engine, guidance_scale=6.0))[0], draw(engine, complete(engine, guidance_scale=1.0))[0])


@pytest.mark.parametrize("family", ["sd", "sdxl", "sd3"])
def test_it_goes_with_a_picture_to_begin_with(family: str, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "a.png")
    pipe = deep_pipeline(family)
    asked = complete(over(pipe, cache=False), init_image=tmp_path / "a.png", strength=0.9)
    one, other = (draw(over(pipe, cache=cache), asked)[0] for cache in (False, True))
    assert 0 < np.abs(one - other).mean() < 8


def controlled(pipe: Any, controlnet: Any) -> Any:
    return diffusers.AutoPipelineForText2Image.from_pipe(pipe, controlnet=controlnet)


def test_a_unet_still_follows_its_controlnet_in_every_step(tmp_path: Path) -> None:
    Image.effect_noise((64, 64), 90).convert("RGB").save(tmp_path / "a.png")
    pipe = stable_diffusion()
    controlnet = diffusers.ControlNetModel.from_unet(pipe.unet).eval()
    for weight in controlnet.parameters():
        weight.data.normal_(0, 0.1)
    pipe = controlled(pipe, controlnet)
    check_cache(pipe)
    with counted(controlnet) as calls:
        asked = complete(over(pipe, cache=False), control_image=tmp_path / "a.png")
        one, other = (draw(over(pipe, cache=cache), asked)[0] for cache in (False, True))
        assert len(calls) == 2 * 7  # pndm does its second step twice
    assert 0 < np.abs(one - other).mean() < 25


def test_a_transformer_with_a_controlnet_is_refused() -> None:
    pipe = deep_pipeline("flux")
    pipe.controlnet = object()
    with pytest.raises(UsageError, match="--cache and --controlnet do not go together in a Flux model"):
        check_cache(pipe)


def test_a_model_with_nothing_to_reuse_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing is known to reuse between the steps of a Flux model"):
        check_cache(flux())


def test_it_goes_with_parts_that_are_offloaded() -> None:
    pipe = deep_pipeline("sd")
    asked = complete(over(pipe, cache=True))
    expected = draw(over(pipe, cache=True), asked)[0]
    place(pipe, "cpu", "parts")
    assert np.array_equal(draw(over(pipe, cache=True), asked)[0], expected)


def test_that_pictures_differ_is_said_once(tmp_path: Path) -> None:
    stable_diffusion().save_pretrained(tmp_path)
    source = ModelSource(name="tiny", kind="diffusers", path=tmp_path)
    assert load_pipeline(source, CPU, ImageEngineOptions()).cautions == ()
    engine = TorchImageEngine(source, ImageEngineOptions(device="cpu", dtype="float32", cache=True))
    said = [[event.message for event in engine.stream([complete(engine)]) if isinstance(event, Caution)] for _ in range(2)]
    assert said == [["--cache reuses parts of earlier steps: pictures differ a little from those without it"], []]

"""Batches that fit, and what is done when memory runs out."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from aigc_cli.backends.device import Placement
from aigc_cli.backends.image import engine as engine_module
from aigc_cli.backends.image.engine import TorchImageEngine
from aigc_cli.backends.image.load import load_pipeline
from aigc_cli.backends.image.memory import fitting_batch, place
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import UsageError
from aigc_cli.core.image import Drawn, ImageEngineOptions, ImageRequest
from tests.backends.image.conftest import OpenEngine
from tests.backends.image.tiny_pipelines import FAMILIES, tiny_pipeline

SOURCE = ModelSource(name="tiny", kind="diffusers")
CPU = Placement("cpu", "float32", "")
CUDA = Placement("cuda:0", "bfloat16", "")


def complete(engine: TorchImageEngine, **options: Any) -> ImageRequest:
    return engine.complete(ImageRequest(prompt="a fox", seed=1, **{"width": 64, "height": 64, "steps": 2} | options))[0]


def draw(engine: TorchImageEngine, request: ImageRequest) -> bytes:
    return next(event.pixels.data for event in engine.stream([request]) if isinstance(event, Drawn))


@pytest.mark.parametrize(
    ("device", "dtype", "side", "count"),
    [
        ("cpu", "float32", 64, 1),
        ("cpu", "bfloat16", 64, 16),
        ("cpu", "bfloat16", 128, 4),
        ("cpu", "bfloat16", 512, 1),
        ("cuda:0", "float32", 512, 8),
        ("cuda:0", "bfloat16", 1024, 2),
        ("cuda:0", "bfloat16", 64, 16),
        ("cuda:0", "bfloat16", 4096, 1),
    ],
)
def test_a_batch_is_as_large_as_pays(device: str, dtype: str, side: int, count: int) -> None:
    assert fitting_batch(Placement(device, dtype, ""), side, side) == count


def test_pictures_that_a_model_looks_at_are_drawn_alone(open_engine: OpenEngine, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_engine("sd")
    monkeypatch.setattr(engine, "placement", Placement("cpu", "bfloat16", ""))
    reference = ImageRequest(prompt="x", seed=1, width=64, height=64, init_image=tmp_path / "a.png")
    assert engine.batch_size(complete(engine)) == 16
    assert engine.batch_size(reference) == 1


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "icons"])  # whose VAE has no tiles for RGBA
def test_on_a_cpu_decoding_in_tiles_is_all_that_is_left(family: str) -> None:
    engine = TorchImageEngine.over(tiny_pipeline(family), SOURCE, CPU)
    request = complete(engine)
    draw(engine, request)
    assert engine.use_less_memory() == "pictures are now decoded in tiles, which may show faint seams"
    assert engine.use_less_memory() is None
    assert len(draw(engine, request)) == 64 * 64 * 3
    assert engine.pipe.vae.use_tiling


@pytest.mark.parametrize(("side", "tile"), [(320, 256), (768, 512), (64, 256)])
def test_a_tile_is_smaller_than_the_picture(monkeypatch: pytest.MonkeyPatch, side: int, tile: int) -> None:
    engine = TorchImageEngine.over(tiny_pipeline("sd"), SOURCE, CPU)
    request = complete(engine, width=side, height=64, steps=1)
    seen = []
    decoder = engine.pipe.vae.decoder
    forward = decoder.forward
    monkeypatch.setattr(decoder, "forward", lambda latents, *rest: seen.append(8 * max(latents.shape[2:])) or forward(latents, *rest))
    draw(engine, request)
    engine.use_less_memory()
    draw(engine, request)
    assert (seen[0], max(seen[1:])) == (side, min(side, tile))


def test_on_a_gpu_parts_and_then_layers_wait_in_main_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = TorchImageEngine.over(tiny_pipeline("sd"), SOURCE, CUDA)
    placed: list[str] = []
    monkeypatch.setattr(engine_module, "place", lambda pipe, device, residence: placed.append(residence))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    engine.drawn_side, said = 64, []
    while word := engine.use_less_memory():
        said.append(word)
    assert placed == ["parts", "layers"]
    assert len(said) == 3
    assert said[1] == "each part of the model is now on the GPU only while it is used, which is slower"


def test_with_offload_asked_for_only_layers_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = TorchImageEngine.over(tiny_pipeline("sd"), SOURCE, CUDA, ImageEngineOptions(offload=True))
    placed: list[str] = []
    monkeypatch.setattr(engine_module, "place", lambda pipe, device, residence: placed.append(residence))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    while engine.use_less_memory():
        pass
    assert placed == ["layers"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_draws_the_same_with_its_parts_offloaded(open_engine: OpenEngine, family: str) -> None:
    """The hooks, on the CPU: there they move nothing, but must find their parts."""
    pipe = tiny_pipeline(family)
    expected = draw(open_engine(family), complete(open_engine(family)))
    place(pipe, "cpu", "parts")
    engine = TorchImageEngine.over(pipe, SOURCE, CPU)
    engine.residence = "parts"
    request = complete(engine)
    assert draw(engine, request) == expected
    list(engine.encode_ahead([request]))
    assert draw(engine, request) == expected


def test_offload_is_refused_where_it_saves_nothing(tmp_path: Any) -> None:
    with pytest.raises(UsageError, match="on cpu there is none to save"):
        load_pipeline(ModelSource(name="x", kind="diffusers", path=tmp_path), CPU, ImageEngineOptions(offload=True))

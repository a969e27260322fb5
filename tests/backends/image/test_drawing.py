"""What goes wrong while a picture is drawn is said in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from aigc_cli.backends.device import Placement
from aigc_cli.backends.image.compiling import compile_blocks, repeated_blocks
from aigc_cli.backends.image.engine import TorchImageEngine
from aigc_cli.backends.image.sizes import denoiser
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import AigcError, OutOfMemoryError
from aigc_cli.core.events import Caution, Event
from aigc_cli.core.image import Drawn, ImageEngineOptions, ImageRequest
from tests.backends.image.tiny_pipelines import FAMILIES, stable_diffusion, tiny_pipeline


def over(pipe: Any, dtype: str = "float32", **options: Any) -> TorchImageEngine:
    source = ModelSource(name="models/小.safetensors", kind="checkpoint")
    return TorchImageEngine.over(pipe, source, Placement("cpu", dtype, ""), ImageEngineOptions(**options))


def complete(engine: TorchImageEngine, **options: Any) -> ImageRequest:
    return engine.complete(ImageRequest(prompt="a fox", **{"seed": 7, "width": 64, "height": 64, "steps": 2} | options))[0]


def said(events: Sequence[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Caution)]


def fail_with(error: BaseException) -> Any:
    def forward(*arguments: Any, **options: Any) -> None:
        raise error

    return forward


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ValueError("the size is odd. See the docs for sizes."), r"models/小\.safetensors failed while it drew: the size is odd\.$"),
        (RuntimeError("mat1 and mat2\nshapes differ"), "failed while it drew: mat1 and mat2 shapes differ$"),
        (NotImplementedError("no kernel"), "failed while it drew: no kernel$"),
        (KeyError(), "failed while it drew: KeyError$"),
    ],
)
def test_what_a_library_raises_is_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception, words: str) -> None:
    engine = over(stable_diffusion())
    monkeypatch.setattr(engine.pipe.unet, "forward", fail_with(error))
    with pytest.raises(AigcError, match=words) as caught:
        list(engine.stream([complete(engine)]))
    assert caught.value.__cause__ is error
    assert not isinstance(caught.value, OutOfMemoryError)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("x"), RuntimeError("can't allocate memory: 9"), MemoryError()])
def test_memory_that_ran_out_keeps_its_name(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    engine = over(stable_diffusion())
    monkeypatch.setattr(engine.pipe.vae.decoder, "forward", fail_with(error))
    with pytest.raises(OutOfMemoryError, match="out of memory on cpu"):
        list(engine.stream([complete(engine)]))


@pytest.mark.parametrize(("dtype", "advice"), [("float16", "try --dtype bfloat16 or float32"), ("bfloat16", "try --dtype float32")])
def test_a_picture_of_no_numbers_is_reported(monkeypatch: pytest.MonkeyPatch, dtype: str, advice: str) -> None:
    engine = over(stable_diffusion(), dtype)
    decode = engine.pipe.vae.decoder.forward
    made = iter((1.0, float("nan")))
    monkeypatch.setattr(engine.pipe.vae.decoder, "forward", lambda *given, **options: decode(*given, **options) * next(made))
    engine.pipe.vae.enable_slicing()
    events = list(engine.stream([complete(engine), complete(engine, seed=8)]))
    assert said(events) == [
        f"picture 2 (seed 8) is black, in whole or in part, for the model computed numbers beyond {dtype}: {advice}",
    ]
    whole, black = (event.pixels.data for event in events if isinstance(event, Drawn))
    assert any(whole)
    assert not any(black)


def test_pixels_are_those_of_the_pipeline_itself() -> None:
    pipe = tiny_pipeline("sd")
    engine = over(pipe)
    asked = complete(engine)
    drawn = next(event.pixels.data for event in engine.stream([asked]) if isinstance(event, Drawn))
    options = {"width": 64, "height": 64, "num_inference_steps": 2, "generator": torch.Generator().manual_seed(7)}
    expected = np.asarray(pipe("a fox", **options).images[0]).astype(int)
    assert np.abs(expected.flatten() - np.frombuffer(drawn, np.uint8)).max() <= 1


def test_what_is_done_to_the_picture_of_a_controlnet_is_said(tmp_path: Path) -> None:
    pipe = stable_diffusion()
    controlnet = diffusers.ControlNetModel.from_unet(pipe.unet)
    engine = over(diffusers.AutoPipelineForText2Image.from_pipe(pipe, controlnet=controlnet))
    path = tmp_path / "边.png"
    Image.new("RGBA", (128, 64), (255, 0, 0, 99)).save(path)
    events = list(engine.stream([complete(engine, control_image=path), complete(engine, control_image=path)]))
    remarks = said(events)
    assert len(remarks) == 2
    assert "边.png" in remarks[0]  # its alpha channel
    assert remarks[1] == f"{path} has other proportions than 64 x 64: its edges are cut off"


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_blocks_to_compile(family: str) -> None:
    assert list(repeated_blocks(denoiser(tiny_pipeline(family))))


def test_compiled_blocks_draw_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda call, **options: call)  # a real compiler takes its time
    pipe = tiny_pipeline("sd")
    expected = list(over(pipe).stream([complete(over(pipe))]))[-1]
    compile_blocks(pipe.unet, fuse=True)
    drawn = list(over(pipe, compile=True).stream([complete(over(pipe))]))[-1]
    assert isinstance(expected, Drawn)
    assert isinstance(drawn, Drawn)
    one, other = (np.frombuffer(event.pixels.data, np.uint8).astype(int) for event in (expected, drawn))
    assert np.abs(one - other).max() <= 1


def test_a_compiler_that_fails_is_reported_before_anything_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = over(stable_diffusion(), compile=True)
    monkeypatch.setattr(engine.pipe.unet, "forward", fail_with(RuntimeError("no C++ compiler")))
    events = engine.stream([complete(engine)])
    with pytest.raises(AigcError, match="no C\\+\\+ compiler") as caught:
        next(events)
    assert caught.value.hint == "leave out --compile"

"""All prompts of a run are encoded once, before anything is drawn; then the text encoders are let go."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from aigc_cli.backends.device import Placement
from aigc_cli.backends.image import engine as engine_module
from aigc_cli.backends.image.engine import TorchImageEngine
from aigc_cli.backends.image.prompts import PromptCache
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import AigcError, OutOfMemoryError
from aigc_cli.core.events import Progress
from aigc_cli.core.image import Drawn, ImageRequest
from tests.backends.image.tiny_pipelines import FAMILIES, tiny_pipeline

LONG = "fox ab " * 32  # three chunks of CLIP's


def open_own(family: str) -> TorchImageEngine:
    """An engine that no other test uses: its encoders will be gone."""
    return TorchImageEngine.over(tiny_pipeline(family), ModelSource(name="tiny", kind="diffusers"), Placement("cpu", "float32", ""))


def complete(engine: TorchImageEngine, prompt: str, **options: Any) -> ImageRequest:
    return engine.complete(ImageRequest(prompt=prompt, **{"seed": 1, "width": 64, "height": 64, "steps": 2} | options))[0]


def draw(engine: TorchImageEngine, *requests: ImageRequest) -> list[bytes]:
    return [event.pixels.data for event in engine.stream(requests) if isinstance(event, Drawn)]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_draws_the_same_without_its_encoders(family: str) -> None:
    engine = open_own(family)
    takes_negative = {"negative_prompt": "rain"} if engine.facts.takes_negative else {}
    asked = [complete(engine, "a fox"), complete(engine, "一只狐狸"), complete(engine, "a fox", seed=2, **takes_negative)]
    remarks = engine.complete(ImageRequest(prompt="(red:1.5) fox" * 99, seed=1, width=64, height=64))[1]
    before = [draw(engine, request) for request in asked]
    encoders = [weakref.ref(encoder) for name, encoder in engine.pipe.components.items() if name.startswith("text_encoder")]
    told = list(engine.encode_ahead(asked))
    gc.collect()
    assert encoders
    assert [encoder() for encoder in encoders] == [None] * len(encoders)
    assert told[-1] == Progress(phase="encoding prompts", done=len(told), total=len(told), unit="prompts")
    assert [draw(engine, request) for request in asked] == before
    assert len(set(draw(engine, *asked[:2]))) == 2
    assert engine.complete(ImageRequest(prompt="(red:1.5) fox" * 99, seed=1, width=64, height=64))[1] == remarks
    assert engine.kind(asked[0]) == engine.kind(asked[1])
    assert list(engine.encode_ahead(asked))  # once more does no harm


@pytest.mark.parametrize("family", ["sd", "sdxl", "sd3", "flux", "qwen"])
def test_a_pipeline_for_pictures_is_made_without_encoders_too(family: str, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "红.png")
    engine = open_own(family)
    plain = complete(engine, "a fox")
    list(engine.encode_ahead([plain]))
    drawn = draw(engine, complete(engine, "a fox", init_image=tmp_path / "红.png", strength=1.0))
    assert len(drawn) == 1


def test_equal_prompts_are_encoded_once_and_only_as_guidance_needs() -> None:
    engine = open_own("sd")
    asked = [complete(engine, "a fox", seed=seed, guidance_scale=1.0) for seed in range(5)]
    assert len(list(engine.encode_ahead(asked))) == 1
    assert len(list(engine.encode_ahead([complete(engine, "a fox", guidance_scale=1.0, steps=9)]))) == 1


def test_prompts_are_encoded_at_the_length_that_they_are_drawn_with() -> None:
    engine = open_own("sd")
    asked = [complete(engine, "a fox"), complete(engine, LONG), complete(engine, "a fox", negative_prompt=LONG)]
    before = [draw(engine, request) for request in asked]
    assert len(list(engine.encode_ahead(asked))) == 6  # two each: "a fox" and what it is guided away from also at three chunks
    assert [draw(engine, request) for request in asked] == before


def test_a_prompt_that_was_not_announced_is_refused() -> None:
    engine = open_own("sd")
    list(engine.encode_ahead([complete(engine, "a fox")]))
    with pytest.raises(AigcError, match="text encoders were given up"):
        draw(engine, complete(engine, "a dog"))


def test_the_encoders_stay_where_the_embeddings_do_not_fit() -> None:
    engine = open_own("sd")
    engine.prompts = PromptCache(limit=3 * 77 * 32 * 4)
    asked = [complete(engine, f"fox {number}") for number in range(9)]
    told = list(engine.encode_ahead(asked))
    assert len(told) == 4  # one more than fits
    assert all(len(draw(engine, request)) == 1 for request in asked)


def test_a_pipeline_that_encodes_by_itself_keeps_its_encoders(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_own("sd")
    monkeypatch.setattr(engine_module, "encodes_here", lambda pipe: False)
    assert list(engine.encode_ahead([complete(engine, "a fox")])) == []
    assert len(draw(engine, complete(engine, "a fox"))) == 1


def test_running_out_of_memory_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_own("sd")
    asked = [complete(engine, "a fox")]

    def fail(*arguments: Any, **options: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(engine.pipe.text_encoder, "forward", fail)
    with pytest.raises(OutOfMemoryError):
        list(engine.encode_ahead(asked))

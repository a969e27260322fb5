"""An image engine without a network: its pictures are patterns that depend on the request alone, and trouble comes by script."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Generator, Hashable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from PIL import Image

from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import AigcError, OutOfMemoryError, UsageError
from aigc_cli.core.events import Event, ImageStep, Loaded, Progress
from aigc_cli.core.image import Drawn, ImageEngineOptions, ImageRequest, Pixels, Previews

SIDE, MULTIPLE, STEPS = 64, 8, 4


class FakeImageEngine:
    """Draws 64 x 64 in 4 steps unless it is asked for something else, and remembers what it was asked for.

    fits: pictures that fit into memory at once; None: any number. Each of `measures` makes room for one more.
    refused: by prompt, what `complete` raises.  broken: by prompt, what drawing raises.
    stop: raised after so many steps, all groups together.  fits_encoded: whether the prompts' encoding fits into memory.
    has_alpha: whether it draws in RGBA.
    """

    opened: ClassVar[list[ImageEngineOptions]] = []
    batches: ClassVar[list[tuple[ImageRequest, ...]]] = []
    encoded: ClassVar[list[tuple[str, ...]]] = []
    closed: ClassVar[int] = 0
    device: ClassVar[str] = "cpu"
    has_alpha: ClassVar[bool] = False
    size: ClassVar[int] = 4  # of a batch, where the engine is asked
    fits: ClassVar[int | None] = None
    fits_encoded: ClassVar[bool] = True
    measures: ClassVar[list[str]] = []
    refused: ClassVar[dict[str, AigcError]] = {}
    broken: ClassVar[dict[str, BaseException]] = {}
    stop: ClassVar[tuple[int, BaseException] | None] = None
    steps_done: ClassVar[int] = 0

    def __init__(self, source: ModelSource, options: ImageEngineOptions) -> None:
        FakeImageEngine.opened.append(options)
        dtype = "float32" if options.dtype == "auto" else options.dtype
        self.loaded = Loaded(model=source.name, revision=source.revision, device=self.device, dtype=dtype, seconds=0.01, reason="fake")

    def complete(self, request: ImageRequest) -> tuple[ImageRequest, tuple[str, ...]]:
        if error := self.refused.get(request.prompt):
            raise error
        if (request.transparent or request.background) and not self.has_alpha:
            raise UsageError("this model draws no transparency", "leave it out")
        wanted = (request.width or SIDE, request.height or SIDE)
        size = tuple(max(MULTIPLE, side // MULTIPLE * MULTIPLE) for side in wanted)
        remarks = (f"{wanted[0]} x {wanted[1]} is drawn as {size[0]} x {size[1]}",) if size != wanted else ()
        complete = replace(
            request,
            width=size[0],
            height=size[1],
            steps=request.steps or STEPS,
            guidance_scale=7.5 if request.guidance_scale is None else request.guidance_scale,
            scheduler=request.scheduler or "euler",
            strength=(0.6 if request.strength is None else request.strength) if request.init_image else None,
        )
        return complete, remarks

    def kind(self, request: ImageRequest) -> Hashable:
        return (request.width, request.height, request.steps, request.guidance_scale, request.scheduler, request.init_image is None)

    def batch_size(self, request: ImageRequest) -> int:
        return self.size

    def encode_ahead(self, requests: Sequence[ImageRequest]) -> Iterator[Event]:
        if not self.fits_encoded:
            raise OutOfMemoryError("out of memory", "try a smaller picture")
        prompts = tuple(dict.fromkeys(request.prompt for request in requests))
        FakeImageEngine.encoded.append(prompts)
        for done in range(1, len(prompts) + 1):
            yield Progress(phase="encoding prompts", done=done, total=len(prompts), unit="prompts")

    def use_less_memory(self) -> str | None:
        if not self.measures:
            return None
        FakeImageEngine.fits = (self.fits or 0) + 1
        FakeImageEngine.fits_encoded = True
        return FakeImageEngine.measures.pop(0)

    def stream(self, requests: Sequence[ImageRequest], previews: Previews = "none") -> Generator[Event, None, None]:
        FakeImageEngine.batches.append(tuple(requests))
        if self.fits is not None and len(requests) > self.fits:
            raise OutOfMemoryError("out of memory", "try a smaller picture")
        steps = requests[0].steps
        assert steps
        for step in range(1, steps + 1):
            is_shown = previews == "every" or (previews == "final" and step == steps)
            for index, request in enumerate(requests):
                yield ImageStep(t=0.1 * step, index=index, step=step, steps=steps, preview=preview(request) if is_shown else None)
            FakeImageEngine.steps_done += 1
            if self.stop and self.steps_done >= self.stop[0]:
                raise self.stop[1]
        if error := next((self.broken[request.prompt] for request in requests if request.prompt in self.broken), None):
            raise error
        for index, request in enumerate(requests):
            yield Drawn(t=0.1 * steps, index=index, pixels=pattern(request, 4 if self.has_alpha else 3))

    def peak_memory(self) -> int:
        return 2**20

    def close(self) -> None:
        FakeImageEngine.closed += 1


def pattern(request: ImageRequest, channels: Literal[3, 4] = 3) -> Pixels:
    """Of a complete request: other pixels for whatever is different in it."""
    assert request.width
    assert request.height
    block = b"".join(hashlib.sha256(f"{request!r} {part}".encode()).digest() for part in range(6))
    size = request.width * request.height * channels
    return Pixels(request.width, request.height, (block * (size // len(block) + 1))[:size], channels)


def preview(request: ImageRequest) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (request.seed % 256, 0, 0)).save(file, "PNG")
    return file.getvalue()


def install(patch: pytest.MonkeyPatch, folder: Path) -> type[FakeImageEngine]:
    """Puts the engine in every image model's place; any name resolves to a model in `folder`. No model need be named."""

    def resolve(name: str, **options: object) -> Generator[Event, None, ModelSource]:
        yield from ()
        return ModelSource(name=name, kind="diffusers", path=folder)

    (folder / "unet").mkdir(parents=True, exist_ok=True)
    (folder / "model_index.json").write_text('{"unet": ["diffusers", "UNet2DConditionModel"]}')
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"weights")
    patch.setattr("aigc_cli.commands.image_run.resolve_image", resolve)
    patch.setitem(__import__("aigc_cli.backends").backends.ENGINES["image"], "diffusers", "tests.fake_image:FakeImageEngine")
    patch.setenv("AIGC_IMAGE_MODEL", "tiny")
    for name in ("opened", "batches", "encoded", "measures"):
        patch.setattr(FakeImageEngine, name, [])
    for name in ("refused", "broken"):
        patch.setattr(FakeImageEngine, name, {})
    plain: dict[str, Any] = {"closed": 0, "steps_done": 0, "fits": None, "fits_encoded": True, "stop": None, "size": 4, "device": "cpu"}
    for name, value in {**plain, "has_alpha": False}.items():
        patch.setattr(FakeImageEngine, name, value)
    return FakeImageEngine

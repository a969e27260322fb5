"""Pictures of one kind on their way through a pipeline: what it is called with, and what is told of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from aigc_cli.backends import device as devices
from aigc_cli.backends.image.beginning import Beginning, begins_here
from aigc_cli.backends.image.facts import call_parameters
from aigc_cli.backends.image.inputs import Canvas, control_arguments, drawn_size, make_canvas, picture_arguments
from aigc_cli.backends.image.load import OUT_OF_MEMORY_HINT
from aigc_cli.backends.image.memory import decode_in_tiles
from aigc_cli.backends.image.noise import BatchNoise
from aigc_cli.backends.image.prompts import encode
from aigc_cli.backends.image.pump import Emit
from aigc_cli.backends.image.schedulers import make_scheduler
from aigc_cli.backends.image.sizes import TILING_FROM, can_tile
from aigc_cli.backends.image.step_cache import cached_steps
from aigc_cli.backends.image.steps import Estimate, watched
from aigc_cli.backends.torch_load import memory_errors, reason
from aigc_cli.core.errors import AigcError
from aigc_cli.core.events import Caution, Event, ImageStep, Remark
from aigc_cli.core.image import Drawn, ImageRequest, Previews
from aigc_cli.pictures.alpha import ground_of, pixels_of, white_where_clear

if TYPE_CHECKING:
    from aigc_cli.backends.image.engine import TorchImageEngine

# what some pipelines would do to a request unasked: another size that is scaled afterwards, another spelling of the prompt
UNASKED = {"use_resolution_binning": False, "clean_caption": False}
PREVIEW_INTERVAL = 0.2  # seconds: nobody sees more, and a fast model would spend its time on them


def draw(engine: TorchImageEngine, requests: Sequence[ImageRequest], previews: Previews, emit: Emit[Event]) -> None:
    """Raises: AigcError, also in place of whatever diffusers and torch raise."""
    try:
        with memory_errors(engine.placement.device, OUT_OF_MEMORY_HINT):
            Drawing(engine, requests, previews, emit).run()
    except AigcError:
        raise
    except Exception as error:  # a pipeline raises almost anything for what its parts cannot do
        hint = "leave out --compile" if engine.options.compile else "--traceback shows where"
        why = reason(error).partition(" Set TORCHDYNAMO_")[0]  # what the compiler advises its developers
        raise AigcError(f"{engine.source.name} failed while it drew: {why}", hint) from error


class Drawing:
    """Pictures of one kind that are drawn together, in a thread that tells of them through `emit`."""

    def __init__(self, engine: TorchImageEngine, requests: Sequence[ImageRequest], previews: Previews, emit: Emit[Event]) -> None:
        self.engine, self.requests, self.previews, self.emit = engine, list(requests), previews, emit
        self.first = self.requests[0]
        self.width, self.height = drawn_size(self.first)
        self.pipe = engine._pipeline(self.first)
        self.started = time.perf_counter()
        self.last_preview = -PREVIEW_INTERVAL

    def clock(self) -> float:
        return time.perf_counter() - self.started

    def run(self) -> None:
        self.caution(self.engine.unsaid_cautions)
        self.engine.unsaid_cautions.clear()
        self.engine.drawn_side = max(self.width, self.height)
        with torch.no_grad():
            has_alpha = self.engine.facts.has_alpha
            canvases = [make_canvas(request, has_alpha=has_alpha) for request in self.requests if request.init_image]
            self.caution_once([remark for canvas in canvases for remark in canvas.remarks])
            noise = BatchNoise(self.requests)
            arguments = self.arguments(canvases) | {"generator": noise.generators}
            steps = cached_steps(self.pipe) if self.engine.options.cache else nullcontext()
            begun = Beginning(self.pipe, noise, canvases).in_place if canvases and begins_here(self.pipe) else nullcontext
            with self.scheduler(), noise.in_place(), begun(), watched(self.pipe, self.on_step), steps as drift:
                output = self.pipe(**arguments)
            self.hand_over(output, canvases, drift.mean() if drift else None)

    def caution(self, remarks: Iterable[str]) -> None:
        for remark in remarks:
            self.emit(Caution(message=remark))

    def caution_once(self, remarks: Iterable[str]) -> None:
        """What was done to a file that many pictures begin with is said with the first of them."""
        said = self.engine.said_of_files
        self.caution(remark for remark in dict.fromkeys(remarks) if remark not in said)
        said.update(remarks)

    @contextmanager
    def scheduler(self) -> Iterator[None]:
        """A fresh one: a scheduler remembers its last steps."""
        own = self.pipe.scheduler
        assert self.first.scheduler
        self.pipe.scheduler = make_scheduler(self.pipe, self.first.scheduler)
        try:
            yield
        finally:
            self.pipe.scheduler = own

    def arguments(self, canvases: list[Canvas]) -> dict[str, Any]:
        parameters = call_parameters(self.pipe)
        self.set_tiling()
        arguments = encode(self.pipe, self.requests, self.engine.prompts, guided=self.engine.is_guided(self.first))
        arguments |= {name: value for name, value in UNASKED.items() if name in parameters}
        arguments |= {"num_inference_steps": self.first.steps, "output_type": "pt"}
        if self.engine.facts.guidance_name in parameters:
            arguments[self.engine.facts.guidance_name] = self.first.guidance_scale
        arguments |= {name: getattr(self.first, name) for name in ("width", "height") if name in parameters}
        if canvases:
            arguments |= picture_arguments(parameters, canvases, self.requests)
        if self.first.control_image:
            control, remarks = control_arguments(parameters, self.requests)
            arguments |= control
            self.caution_once(remarks)
        return arguments

    def set_tiling(self) -> None:
        vae = self.pipe.vae
        if self.engine.tile:
            decode_in_tiles(vae, self.engine.tile)
        elif can_tile(self.pipe):
            (vae.enable_tiling if self.width * self.height > TILING_FROM else vae.disable_tiling)()

    def on_step(self, step: int, steps: int, estimate: Estimate) -> None:
        pictures: Sequence[bytes | None] = [None] * len(self.requests)
        if self.is_preview_due(step, steps) and (latents := estimate()) is not None:
            grounds = [ground_of(request) for request in self.requests]
            pictures = self.engine.previewer.pngs(latents, self.width, self.height, grounds)
            self.last_preview = self.clock()
        devices.synchronize(self.engine.placement.device)  # so that the time is honest
        for index, preview in enumerate(pictures):
            self.emit(ImageStep(t=self.clock(), index=index, step=step, steps=steps, preview=preview))

    def is_preview_due(self, step: int, steps: int) -> bool:
        """The last step always has one, where any has."""
        if step == steps:
            return self.previews != "none"
        return self.previews == "every" and self.clock() - self.last_preview >= PREVIEW_INTERVAL

    def hand_over(self, output: Any, canvases: list[Canvas], drift: float | None) -> None:
        """drift: of the steps that reused earlier ones."""
        if drift is not None:
            self.emit(Remark(message=f"what --cache reused was off by {drift:.1%} when it was computed again, in the mean"))
        unfit = getattr(output, "nsfw_content_detected", None) or [False] * len(self.requests)
        for index, picture in enumerate(output.images.float()):
            self.caution(self.flaws(index, picture, is_unfit=unfit[index]))
            image = to_image(picture)
            finished = canvases[index].finish(image) if canvases else image
            self.emit(Drawn(t=self.clock(), index=index, pixels=pixels_of(finished), cache_drift=drift))

    def flaws(self, index: int, picture: torch.Tensor, *, is_unfit: bool) -> Iterator[str]:
        """What makes a picture black, in words."""
        whose = f"picture {index + 1} (seed {self.requests[index].seed})"
        if is_unfit:
            yield f"the model's safety checker made {whose} black"
        if not picture.isfinite().all():
            dtype = self.engine.placement.dtype
            other = "bfloat16 or float32" if dtype == "float16" else "float32"
            yield f"{whose} is black, in whole or in part, for the model computed numbers beyond {dtype}: try --dtype {other}"


def to_image(picture: torch.Tensor) -> Image.Image:
    """(3, H, W) or, with alpha, (4, H, W), from 0 to 1; what is no number is black."""
    known = picture.nan_to_num(0.0, 0.0, 0.0)
    known[3:] = picture[3:].nan_to_num(1.0, 1.0, 1.0)
    levels = (known.clamp(0, 1) * 255).round().to(torch.uint8)
    image = Image.fromarray(levels.movedim(0, -1).cpu().contiguous().numpy())
    return white_where_clear(image) if image.mode == "RGBA" else image

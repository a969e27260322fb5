"""The image engine: any text-to-image pipeline of diffusers, run in a thread and watched from outside."""

from __future__ import annotations

import functools
import gc
import time
from collections.abc import Generator, Hashable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from aigc_cli.backends import device as devices
from aigc_cli.backends.image.defaults import fill_in
from aigc_cli.backends.image.facts import PipelineFacts, call_parameters, read_facts
from aigc_cli.backends.image.inputs import Canvas, control_arguments, drawn_size, image_pipeline, make_canvas, picture_arguments
from aigc_cli.backends.image.load import OUT_OF_MEMORY_HINT, load_pipeline
from aigc_cli.backends.image.noise import BatchNoise
from aigc_cli.backends.image.previews import Previewer
from aigc_cli.backends.image.prompts import PromptCache, check_prompt, encode, prompts_size
from aigc_cli.backends.image.pump import Emit, pump
from aigc_cli.backends.image.schedulers import make_scheduler
from aigc_cli.backends.image.sizes import TILING_FROM
from aigc_cli.backends.image.steps import watched
from aigc_cli.backends.torch_load import adapter_names, memory_errors
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import OutOfMemoryError
from aigc_cli.core.events import Caution, Event, ImageStep, Loaded
from aigc_cli.core.image import Drawn, ImageEngineOptions, ImageRequest, Pixels, Previews

# what some pipelines would do to a request unasked: another size that is scaled afterwards, another spelling of the prompt
UNASKED = {"use_resolution_binning": False, "clean_caption": False}


class TorchImageEngine:
    """Implements ImageEngine. Raises, when opened, ModelError, OutOfMemoryError, or UsageError for the device."""

    def __init__(self, source: ModelSource, options: ImageEngineOptions) -> None:
        started = time.perf_counter()
        placement = devices.choose(options.device, options.dtype)
        parts = load_pipeline(source, placement, options)
        self._hold(parts.pipe, source, placement, time.perf_counter() - started, parts.cautions, options.adapters)

    @classmethod
    def over(cls, pipe: Any, source: ModelSource, placement: devices.Placement) -> TorchImageEngine:
        """An engine over a pipeline that is in place already."""
        engine = cls.__new__(cls)
        engine._hold(pipe, source, placement, 0.0)
        return engine

    def _hold(
        self,
        pipe: Any,
        source: ModelSource,
        placement: devices.Placement,
        seconds: float,
        cautions: tuple[str, ...] = (),
        adapters: Sequence[tuple[Path, float]] = (),
    ) -> None:
        self.pipe, self.source, self.placement = pipe, source, placement
        self.pipelines: dict[str, Any] = {"text": pipe}
        self.prompts = PromptCache()
        self.unsaid_cautions = list(cautions)
        self.loaded = Loaded(
            model=source.name,
            revision=source.revision,
            device=placement.device,
            dtype=placement.dtype,
            seconds=seconds,
            reason=placement.reason,
            adapters=adapter_names(adapters),
        )

    @cached_property
    def facts(self) -> PipelineFacts:
        return read_facts(self.pipe, self.source)

    @cached_property
    def previewer(self) -> Previewer:
        return Previewer(self.pipe)

    def complete(self, request: ImageRequest) -> tuple[ImageRequest, tuple[str, ...]]:
        pipe = self._pipeline(request)
        complete, remarks = fill_in(request, pipe, call_parameters(pipe), self.facts)
        return complete, (*remarks, *check_prompt(pipe, complete))

    def kind(self, request: ImageRequest) -> Hashable:
        is_reference = request.init_image is not None and request.strength is None  # such a model takes several as one prompt's
        return (
            *(request.width, request.height, request.steps, request.guidance_scale, request.scheduler, request.clip_skip),
            *(request.init_image is not None, request.strength, request.mask is not None, request.outpaint > 0),
            *(request.control_image is not None, request.control_scale),
            prompts_size(self.pipe, [request]),
            request if is_reference else None,
        )

    def stream(self, requests: Sequence[ImageRequest], previews: Previews = "none") -> Generator[Event, None, None]:
        failure = None
        try:
            yield from pump(functools.partial(draw, self, requests, previews))
        except OutOfMemoryError as error:
            failure = OutOfMemoryError(error.message, error.hint)  # the other one's traceback holds on to the tensors
        if failure:
            self._collect()
            raise failure

    def peak_memory(self) -> int:
        """Bytes; see devices.peak_memory."""
        return devices.peak_memory(self.placement.device)

    def close(self) -> None:
        del self.pipe, self.prompts
        self.pipelines.clear()
        self.__dict__.pop("previewer", None)
        self._collect()

    def _collect(self) -> None:
        gc.collect()
        if self.placement.device.startswith("cuda"):
            torch.cuda.empty_cache()

    def _pipeline(self, request: ImageRequest) -> Any:
        """The one that does what is asked; all share their weights."""
        task = "text" if not request.init_image else "mask" if request.mask or request.outpaint else "picture"
        if task not in self.pipelines:
            self.pipelines[task] = image_pipeline(self.pipe, masked=task == "mask")
        return self.pipelines[task]


def draw(engine: TorchImageEngine, requests: Sequence[ImageRequest], previews: Previews, emit: Emit[Event]) -> None:
    Drawing(engine, requests, previews, emit).run()


class Drawing:
    """Pictures of one kind that are drawn together, in a thread that tells of them through `emit`."""

    def __init__(self, engine: TorchImageEngine, requests: Sequence[ImageRequest], previews: Previews, emit: Emit[Event]) -> None:
        self.engine, self.requests, self.previews, self.emit = engine, list(requests), previews, emit
        self.first = self.requests[0]
        self.width, self.height = drawn_size(self.first)
        self.pipe = engine._pipeline(self.first)
        self.started = time.perf_counter()

    def clock(self) -> float:
        return time.perf_counter() - self.started

    def run(self) -> None:
        while self.engine.unsaid_cautions:
            self.emit(Caution(message=self.engine.unsaid_cautions.pop(0)))
        with memory_errors(self.engine.placement.device, OUT_OF_MEMORY_HINT), torch.no_grad():
            canvases = [make_canvas(request) for request in self.requests if request.init_image]
            for remark in dict.fromkeys(remark for canvas in canvases for remark in canvas.remarks):
                self.emit(Caution(message=remark))
            noise = BatchNoise(self.requests)
            arguments = self.arguments(canvases) | {"generator": noise.generators}
            with self.scheduler(), noise.in_place(), watched(self.pipe, self.on_step):
                output = self.pipe(**arguments)
        self.hand_over(output, canvases)

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
        assert self.first.guidance_scale is not None
        guided = self.first.guidance_scale > self.engine.facts.guidance_off
        arguments = encode(self.pipe, self.requests, self.engine.prompts, guided=guided)
        arguments |= {name: value for name, value in UNASKED.items() if name in parameters}
        arguments |= {"num_inference_steps": self.first.steps, "output_type": "pil"}
        if self.engine.facts.guidance_name in parameters:
            arguments[self.engine.facts.guidance_name] = self.first.guidance_scale
        arguments |= {name: getattr(self.first, name) for name in ("width", "height") if name in parameters}
        if canvases:
            arguments |= picture_arguments(parameters, canvases, self.requests)
        if self.first.control_image:
            arguments |= control_arguments(parameters, self.requests)
        return arguments

    def set_tiling(self) -> None:
        vae = self.pipe.vae
        if hasattr(vae, "enable_tiling"):
            (vae.enable_tiling if self.width * self.height > TILING_FROM else vae.disable_tiling)()

    def on_step(self, step: int, steps: int, estimate: torch.Tensor | None) -> None:
        pictures: Sequence[bytes | None] = [None] * len(self.requests)
        if estimate is not None and (self.previews == "every" or (self.previews == "final" and step == steps)):
            pictures = self.engine.previewer.pngs(estimate, self.width, self.height)
        devices.synchronize(self.engine.placement.device)  # so that the time is honest
        for index, preview in enumerate(pictures):
            self.emit(ImageStep(t=self.clock(), index=index, step=step, steps=steps, preview=preview))

    def hand_over(self, output: Any, canvases: list[Canvas]) -> None:
        unfit = getattr(output, "nsfw_content_detected", None) or [False] * len(self.requests)
        for index, image in enumerate(output.images):
            if unfit[index]:
                self.emit(Caution(message=f"the model's safety checker made picture {index + 1} black (seed {self.requests[index].seed})"))
            finished = canvases[index].finish(image) if canvases else image
            self.emit(Drawn(t=self.clock(), index=index, pixels=Pixels(finished.width, finished.height, finished.convert("RGB").tobytes())))

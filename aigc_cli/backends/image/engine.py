"""The image engine: any text-to-image pipeline of diffusers, run in a thread and watched from outside."""

from __future__ import annotations

import functools
import gc
import time
from collections.abc import Generator, Hashable, Iterator, Sequence
from functools import cached_property
from typing import Any

import torch

from aigc_cli.backends import device as devices
from aigc_cli.backends.image.beginning import begins_here
from aigc_cli.backends.image.defaults import fill_in
from aigc_cli.backends.image.drawing import draw
from aigc_cli.backends.image.facts import PipelineFacts, call_parameters, read_facts
from aigc_cli.backends.image.inputs import drawn_size, image_pipeline
from aigc_cli.backends.image.load import OUT_OF_MEMORY_HINT, load_pipeline
from aigc_cli.backends.image.memory import TILES, Residence, fitting_batch, place
from aigc_cli.backends.image.previews import Previewer
from aigc_cli.backends.image.prompt_limits import check_prompt
from aigc_cli.backends.image.prompts import KEPT, PromptCache, PromptKey, encode_prompt, encodes_here, prompt_keys, prompts_size
from aigc_cli.backends.image.pump import pump
from aigc_cli.backends.image.sizes import can_tile, latent_channels
from aigc_cli.backends.image.text_encoders import encoder_bytes, give_up
from aigc_cli.backends.image.tiny_decoder import load_tiny_decoder
from aigc_cli.backends.torch_load import adapter_names, memory_errors
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import AigcError, OutOfMemoryError
from aigc_cli.core.events import Event, Loaded, Progress
from aigc_cli.core.image import ImageEngineOptions, ImageRequest, Previews

ENCODING_AHEAD = 20.0  # seconds
FEW_STEPS = 10  # fewer change the picture too much from one to the next


class TorchImageEngine:
    """Implements ImageEngine. Raises, when opened, ModelError, OutOfMemoryError, or UsageError for the device."""

    def __init__(self, source: ModelSource, options: ImageEngineOptions) -> None:
        started = time.perf_counter()
        placement = devices.choose(options.device, options.dtype)
        parts = load_pipeline(source, placement, options)
        self._hold(parts.pipe, source, placement, options, time.perf_counter() - started, parts.cautions)

    @classmethod
    def over(
        cls, pipe: Any, source: ModelSource, placement: devices.Placement, options: ImageEngineOptions | None = None
    ) -> TorchImageEngine:
        """An engine over a pipeline that is in place already."""
        engine = cls.__new__(cls)
        engine._hold(pipe, source, placement, options or ImageEngineOptions(), 0.0)
        return engine

    def _hold(
        self,
        pipe: Any,
        source: ModelSource,
        placement: devices.Placement,
        options: ImageEngineOptions,
        seconds: float,
        cautions: tuple[str, ...] = (),
    ) -> None:
        self.pipe, self.source, self.placement, self.options = pipe, source, placement, options
        self.pipelines: dict[str, Any] = {"text": pipe}
        self.prompts = PromptCache(max(KEPT, encoder_bytes(pipe) // 2))
        self.residence: Residence = "parts" if options.offload else "device"
        self.tile: int | None = None  # pixels that are decoded at a time, once memory was short
        self.drawn_side = 0  # pixels, the longer one of the last picture
        decoder = options.preview_decoder
        self.previewer = Previewer(pipe, load_tiny_decoder(decoder, latent_channels(pipe)) if decoder else None)
        self.unsaid_cautions = list(cautions)
        self.said_of_files: set[str] = set()
        self.loaded = Loaded(
            model=source.name,
            revision=source.revision,
            device=placement.device,
            dtype=placement.dtype,
            seconds=seconds,
            reason=placement.reason,
            adapters=adapter_names(options.adapters),
        )

    @cached_property
    def facts(self) -> PipelineFacts:
        return read_facts(self.pipe, self.source)

    def complete(self, request: ImageRequest) -> tuple[ImageRequest, tuple[str, ...]]:
        pipe = self._pipeline(request)
        complete, remarks = fill_in(request, pipe, call_parameters(pipe), self.facts)
        return complete, (*remarks, *self._cache_remarks(complete), *check_prompt(pipe, complete))

    def _cache_remarks(self, request: ImageRequest) -> tuple[str, ...]:
        assert request.steps
        if not self.options.cache or request.steps >= FEW_STEPS:
            return ()
        return (f"with {request.steps} steps --cache changes much: between so few little stays the same",)

    def kind(self, request: ImageRequest) -> Hashable:
        return (
            *(request.width, request.height, request.steps, request.guidance_scale, request.scheduler, request.clip_skip),
            *(request.init_image is not None, request.strength, request.mask is not None, request.outpaint > 0),
            *(request.control_image is not None, request.control_scale),
            prompts_size(self.pipe, [request]),
            request if is_reference(request) else None,
        )

    def batch_size(self, request: ImageRequest) -> int:
        return 1 if is_reference(request) else fitting_batch(self.placement, *drawn_size(request))

    def is_guided(self, request: ImageRequest) -> bool:
        assert request.guidance_scale is not None
        return request.guidance_scale > self.facts.guidance_off

    def encode_ahead(self, requests: Sequence[ImageRequest]) -> Iterator[Event]:
        """As the protocol says. The encoders stay where a pipeline encodes by itself, where the embeddings do not all fit into the
        cache, and where so many prompts would keep the first picture waiting.

        Best-of drafts, more seeds and other sizes all use the same embeddings, for a prompt's are its own, filled up to its own length.
        """
        jobs: dict[PromptKey, Any] = {}
        for request in requests:
            pipe = self._pipeline(request)
            if not encodes_here(pipe):
                return
            needed = prompt_keys(pipe, [request], guided=self.is_guided(request))
            jobs |= {key: pipe for keys in needed.values() for key in keys}
        started = time.perf_counter()
        for done, (key, pipe) in enumerate(jobs.items(), 1):
            if not self._is_encoded(pipe, key):
                return
            yield Progress(phase="encoding prompts", done=done, total=len(jobs), unit="prompts")
            if self.prompts.is_full or (done < len(jobs) and time.perf_counter() - started > ENCODING_AHEAD):
                return
        self._give_up_encoders()

    def _is_encoded(self, pipe: Any, key: PromptKey) -> bool:
        """Encodes a prompt. False for one that cannot be: why is for its own picture to say. Raises: OutOfMemoryError."""
        try:
            with memory_errors(self.placement.device, OUT_OF_MEMORY_HINT), torch.no_grad():
                self.prompts.get(key, functools.partial(encode_prompt, pipe, key))
        except AigcError:
            raise
        except Exception:  # an encoder raises almost anything
            return False
        return True

    def _give_up_encoders(self) -> None:
        give_up(self.pipelines.values())
        if self.residence == "parts":
            place(self.pipe, self.placement.device, self.residence)  # its hooks held on to them
        self._collect()

    def use_less_memory(self) -> str | None:
        was_decoding = self.drawn_side > 0  # or at least that far: encoding prompts takes no less for it
        if was_decoding and self.tile is None and can_tile(self.pipe):
            self.tile = max((side for side in TILES if side < self.drawn_side), default=TILES[0])
            return "pictures are now decoded in tiles, which may show faint seams"
        if self.placement.device.startswith("cuda") and self.residence != "layers":
            self.residence = "parts" if self.residence == "device" else "layers"
            place(self.pipe, self.placement.device, self.residence)
            self._collect()
            what = "each part" if self.residence == "parts" else "each layer"
            return f"{what} of the model is now on the GPU only while it is used, which is slower"
        return None

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
        del self.pipe, self.prompts, self.previewer
        self.pipelines.clear()
        self._collect()

    def _collect(self) -> None:
        gc.collect()
        if self.placement.device.startswith("cuda"):
            torch.cuda.empty_cache()

    def _pipeline(self, request: ImageRequest) -> Any:
        """The one that does what is asked; all share their weights."""
        task = "text" if not request.init_image else "mask" if request.mask or request.outpaint else "picture"
        if task not in self.pipelines:
            self.pipelines[task] = image_pipeline(self.pipe, masked=task == "mask" and not begins_here(self.pipe))
        return self.pipelines[task]


def is_reference(request: ImageRequest) -> bool:
    """Of a complete request: whether its picture is one that the model looks at. Such a model takes several as one prompt's."""
    return request.init_image is not None and request.strength is None

"""What is asked of an engine that draws: frozen values that check themselves."""

from __future__ import annotations

from collections.abc import Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol

from aigc_cli.core.engine import EngineOptions
from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Event, Loaded
from aigc_cli.core.request import check

SEEDS = 2**32  # as other tools draw them, so that a seed can be carried over
SIDE_LIMIT = 16_384  # pixels
Previews = Literal["every", "final", "none"]


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """One picture to draw. None leaves a setting to the model.

    width, height: pixels.  steps: of denoising.  clip_skip: layers of the text encoder left out at its end.
    init_image: the picture to begin with; strength: how much of it may change, 0 nothing, 1 all.
    mask: white is drawn anew, black stays.  outpaint: pixels that the init image grows by on every side.
    variation: share of the noise that comes from `variation_seed` (0 the picture of `seed`, 1 that of the other).
    control_image: what a ControlNet follows, with `control_scale`.
    transparent: the file keeps the picture's transparency; else it is laid on `background`, a colour, None white.

    Raises: UsageError naming the option that is out of range or contradicts another.
    """

    prompt: str
    seed: int
    negative_prompt: str = ""
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    scheduler: str | None = None
    clip_skip: int = 0
    init_image: Path | None = None
    strength: float | None = None
    mask: Path | None = None
    outpaint: int = 0
    variation: float = 0.0
    variation_seed: int | None = None
    control_image: Path | None = None
    control_scale: float = 1.0
    transparent: bool = False
    background: str | None = None

    def __post_init__(self) -> None:
        check("--seed", self.seed, 0, SEEDS - 1)
        check("--width", self.width, 8, SIDE_LIMIT)
        check("--height", self.height, 8, SIDE_LIMIT)
        check("--steps", self.steps, 1, 1000)
        check("--guidance-scale", self.guidance_scale, 0.0, 100.0)
        check("--clip-skip", self.clip_skip, 0, 11)
        check("--strength", self.strength, 0.0, 1.0, low_open=True)
        check("--outpaint", self.outpaint, 0, SIDE_LIMIT)
        check("--variation", self.variation, 0.0, 1.0)
        check("--variation-seed", self.variation_seed, 0, SEEDS - 1)
        check("--control-scale", self.control_scale, 0.0, 10.0)
        self._check_pictures()
        if self.transparent and self.background:
            raise UsageError("--transparent and --background contradict each other", "leave out one of the two")

    def _check_pictures(self) -> None:
        if self.mask and self.outpaint:
            raise UsageError("--mask and --outpaint contradict each other", "outpainting makes its own mask: leave out one of the two")
        for option, given in (("--strength", self.strength is not None), ("--mask", self.mask), ("--outpaint", self.outpaint)):
            if given and not self.init_image:
                raise UsageError(f"{option} belongs to --init-image", "name the picture to begin with: --init-image FILE")
        if self.variation and self.variation_seed is None:
            raise ValueError("a variation has a seed of its own")


@dataclass(frozen=True)
class Pixels:
    """A picture without a library: rows of bytes from the top left, width * height * channels of them.

    channels: 3 for RGB, 4 for RGBA, whose colours are not multiplied with alpha.
    """

    width: int
    height: int
    data: bytes
    channels: Literal[3, 4] = 3

    def __post_init__(self) -> None:
        if len(self.data) != self.width * self.height * self.channels:
            raise ValueError(f"{len(self.data)} bytes are no {self.width} x {self.height} pixels of {self.channels} channels")


@dataclass(frozen=True, kw_only=True)
class Drawn(Event):
    """A picture that is finished and not yet saved. index: of its request among those that ran together.

    cache_drift: with ImageEngineOptions.cache, how far what was reused was from what was computed in its place later, relative to that.
    """

    event: ClassVar[str] = "drawn"
    index: int
    pixels: Pixels
    cache_drift: float | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class ImageEngineOptions(EngineOptions):
    """How to open an engine that draws. adapters: LoRA files or folders, with the share of each.

    controlnet: of the model's family, a folder or file.  vae: in place of the model's own.  embeddings: textual inversions,
    each a word that prompts may then use.  cache: what the denoiser's deep layers made of one step serves the next too, which is
    faster and changes the picture a little.  offload: parts wait in main memory and are on the GPU only while they are used.
    compile: the denoiser's repeated blocks are compiled by torch, which costs a minute and pays over many pictures on a GPU.
    preview_decoder: a tiny decoder (TAESD) that previews go through.
    """

    controlnet: Path | None = None
    vae: Path | None = None
    embeddings: tuple[Path, ...] = ()
    cache: bool = False
    offload: bool = False
    compile: bool = False
    preview_decoder: Path | None = None


class ImageEngine(Protocol):
    """A backend that holds a text-to-image pipeline."""

    loaded: Loaded

    def complete(self, request: ImageRequest) -> tuple[ImageRequest, tuple[str, ...]]:
        """The request with nothing left to the model, and what had to be changed, such as a size that was rounded, in words.

        Reads the size of an init image, no more of it. Raises: UsageError for what this model cannot do.
        """
        ...

    def kind(self, request: ImageRequest) -> Hashable:
        """Of a request that is complete: those of one kind can run in one batch."""
        ...

    def batch_size(self, request: ImageRequest) -> int:
        """How many requests of this one's kind run well together. The request is complete; on one machine the answer is always the same."""
        ...

    def encode_ahead(self, requests: Sequence[ImageRequest]) -> Iterator[Event]:
        """Encodes the prompts of a whole run, each once, telling of it in Progress; then gives up the text encoders if it can.

        requests: complete, and all that will be drawn from here on: where the encoders were given up, `stream` refuses other prompts.
        What may differ later is what prompts do not depend on, such as seed, size and steps.
        Raises: OutOfMemoryError.
        """
        ...

    def use_less_memory(self) -> str | None:
        """Takes the next measure against an OutOfMemoryError and says which, in words for the user; None when nothing is left."""
        ...

    def stream(self, requests: Sequence[ImageRequest], previews: Previews = "none") -> Generator[Event, None, None]:
        """Draws complete requests of one kind together: an ImageStep for each after every step, at last a Drawn for each.

        Closing the generator stops the work within a step.
        Raises: OutOfMemoryError, UsageError, or AigcError for whatever else went wrong in the model.
        """
        ...

    def peak_memory(self) -> int:
        """Bytes: the most that the process, or the device, has taken so far."""
        ...

    def close(self) -> None:
        """Gives the memory back."""
        ...

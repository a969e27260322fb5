"""What an engine says while it works: small frozen values without tensors, which pickle and print as JSON.

`t` is the seconds since the engine began this request with its weights loaded, stamped when the value has
reached the host. One `Done` ends a stream; a failure is an exception, not an event.
"""

from __future__ import annotations

import base64
import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar

TIMES = ("t", "seconds", "ttft", "tokens_per_second", "pictures_per_second")


@dataclass(frozen=True, kw_only=True)
class Event:
    """The base of all events; `event` is its name in JSON."""

    event: ClassVar[str]
    t: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """A JSON object: `event` first, then `t`, then every field that is known and finite; times to the microsecond, figures exactly."""
        fields = {"t": self.t, **dataclasses.asdict(self)}
        known = {name: round(value, 6) if name in TIMES else value for name, value in fields.items() if is_known(value)}
        return {"event": self.event, **known}


def is_known(value: Any) -> bool:
    """JSON has no word for a number that is infinite or none."""
    return value is not None and not (isinstance(value, float) and not math.isfinite(value))


@dataclass(frozen=True, kw_only=True)
class Loaded(Event):
    """The weights are in place. `seconds` counts imports and reading; `reason` says why this device and dtype.

    adapters: folders whose adapters are merged into the weights, ":SCALE" after those that are not applied in full.
    """

    event: ClassVar[str] = "loaded"
    model: str
    revision: str | None = None
    device: str
    dtype: str
    quantize: str = "none"
    seconds: float
    reason: str = ""
    context_length: int | None = None
    adapters: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Progress(Event):
    """Work that can be counted: `done` of `total` (None while unknown), both in `unit`."""

    event: ClassVar[str] = "progress"
    phase: str
    done: int
    total: int | None = None
    unit: str = "B"


@dataclass(frozen=True, kw_only=True)
class TextDelta(Event):
    """The next piece of completion `index`. Joined, the pieces are the whole; none splits a character."""

    event: ClassVar[str] = "text"
    text: str
    index: int = 0


@dataclass(frozen=True, kw_only=True)
class ReasoningDelta(Event):
    """The next piece of what a model thinks aloud before it answers, without its markers."""

    event: ClassVar[str] = "reasoning"
    text: str
    index: int = 0


@dataclass(frozen=True, kw_only=True)
class Caution(Event):
    """Something the user should know and that stops nothing; said on stderr. JSON calls it `warning`."""

    event: ClassVar[str] = "warning"
    message: str
    hint: str = ""


@dataclass(frozen=True, kw_only=True)
class Remark(Event):
    """Something for those who asked for more; said on stderr with --verbose."""

    event: ClassVar[str] = "remark"
    message: str


@dataclass(frozen=True, kw_only=True)
class Planned(Event):
    """What training is about to do, before its weights are read. rows, tokens, trained_tokens: of one pass over the data;
    rows that are pictures have no tokens.

    memory, free: bytes, as estimated and as there are; memory is 0 for a family whose memory cannot be told.
    """

    event: ClassVar[str] = "planned"
    method: str
    trained_parameters: int
    total_parameters: int
    rows: int
    tokens: int | None = None
    trained_tokens: int | None = None
    duplicates: int
    steps: int
    memory: int
    free: int


@dataclass(frozen=True, kw_only=True)
class TrainStep(Event):
    """One update of the weights, `step` of `steps` (from 1).

    loss: mean over the step: of its trained tokens, in nats, or of its pictures.  samples: of this step.
    tokens, pictures: all that training has seen so far, padding not counted; one of the two.
    tokens_per_second, pictures_per_second: since training began or was resumed, evaluation not counted.
    split: of a part of the model that is trained by itself, before the rest ("autoencoder"); its steps have numbers of their own.
    """

    event: ClassVar[str] = "train_step"
    step: int
    steps: int
    epoch: float
    loss: float
    learning_rate: float
    grad_norm: float
    samples: int
    tokens: int | None = None
    tokens_per_second: float | None = None
    pictures: int | None = None
    pictures_per_second: float | None = None
    peak_memory: int | None = None
    split: str | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluation(Event):
    """A figure measured on `split` with the weights of `step`; 0 is before training.

    split: "validation", "test", "earlier", or as in TrainStep.
    """

    event: ClassVar[str] = "eval"
    name: str
    value: float
    unit: str = ""
    split: str = "validation"
    step: int = 0
    samples: int | None = None


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Event):
    """All that is needed to go on from `step` lies in the folder `path`. best: no evaluation was better so far.

    split: as in TrainStep.
    """

    event: ClassVar[str] = "checkpoint"
    step: int
    path: str
    best: bool
    split: str | None = None


@dataclass(frozen=True, kw_only=True)
class Answer(Event):
    """What a model says to the prompt of a row that was kept back: before training (step 0) and after."""

    event: ClassVar[str] = "answer"
    index: int
    step: int
    prompt: str
    text: str
    reference: str


@dataclass(frozen=True, kw_only=True)
class SampleSheet(Event):
    """What a model under training draws to the same prompts each time, with the weights of `step`; 0 is before training.

    path: of a PNG with all of them, the first prompt first.  seeds: one for each prompt.
    """

    event: ClassVar[str] = "samples"
    step: int
    path: str
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class ImageStep(Event):
    """One step of denoising, `step` of `steps` (from 1), of picture `index`. preview: what it will look like, as a small PNG."""

    event: ClassVar[str] = "image_step"
    index: int
    step: int
    steps: int
    preview: bytes | None = None

    def to_json(self) -> dict[str, Any]:
        value = super().to_json()
        if self.preview:
            value["preview"] = base64.b64encode(self.preview).decode()
        return value


@dataclass(frozen=True, kw_only=True)
class ImagesPlanned(Event):
    """What a run is to draw: `pictures` in all, of which `done` are there from an earlier run.

    seed: of its first row.  is_seed_new: it was drawn for this run, and nobody but the run knows it.
    """

    event: ClassVar[str] = "images_planned"
    pictures: int
    done: int
    seed: int
    is_seed_new: bool = False


@dataclass(frozen=True, kw_only=True)
class ImageSaved(Event):
    """A picture is on disk. index: in the plan, from 0.  path: "-" for stdout.  score: how well it fits its prompt.

    origin: "file:line" of its row.  was_there: since an earlier run.  batch_size: pictures that ran together, where there were several:
    `t` is the time of all of them.
    """

    event: ClassVar[str] = "image"
    index: int
    path: str
    seed: int
    width: int
    height: int
    score: float | None = None
    prompt: str | None = None
    origin: str | None = None
    was_there: bool | None = None
    batch_size: int | None = None


@dataclass(frozen=True, kw_only=True)
class ImageRejected(Event):
    """A picture was drawn and, by its score, not kept."""

    event: ClassVar[str] = "image_rejected"
    index: int
    seed: int
    score: float
    prompt: str | None = None
    origin: str | None = None
    was_there: bool | None = None


@dataclass(frozen=True, kw_only=True)
class ImageFailed(Event):
    """A picture could not be drawn, and the run goes on."""

    event: ClassVar[str] = "image_failed"
    index: int
    seed: int
    message: str
    hint: str = ""
    prompt: str | None = None
    origin: str | None = None


@dataclass(frozen=True, kw_only=True)
class FileWritten(Event):
    """Something besides the results is on disk. what: in a word or two, "contact sheet"."""

    event: ClassVar[str] = "file"
    path: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Done(Event):
    """The end of a request, and what it took.

    finish_reason: "stop" (the model ended, or a stop string) or "length". With several completions it is the first
        one's; `finish_reasons` holds all.
    prompt_tokens, completion_tokens: counts; completion_tokens over all completions. Of the prompt's,
        `cached_tokens` came out of the KV cache.
    ttft: seconds to the first token.  tokens_per_second: of decoding, without the first token.
    kept, dropped: tokens of the input, when it was truncated.  peak_memory: bytes.
    """

    event: ClassVar[str] = "done"
    finish_reason: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    ttft: float | None = None
    tokens_per_second: float | None = None
    seconds: float = 0.0
    seed: int | None = None
    model: str = ""
    revision: str | None = None
    device: str = ""
    dtype: str = ""
    mode: str = ""
    kept: int | None = None
    dropped: int | None = None
    peak_memory: int | None = None
    cached_tokens: int | None = None
    context_length: int | None = None
    finish_reasons: tuple[str, ...] | None = None
    adapters: tuple[str, ...] | None = None

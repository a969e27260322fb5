"""The seam where engines plug in."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal, Protocol

from aigc_cli.core.events import Event, Loaded
from aigc_cli.core.request import Message, TextRequest

OPENAI = "openai:"  # goes before the name of a model at an OpenAI-compatible endpoint
SourceKind = Literal["folder", "gguf", "openai", "diffusers", "checkpoint", "image-gguf"]


class Dtype(StrEnum):
    """The number format of the weights."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


@dataclass(frozen=True)
class ModelSource:
    """A model's name, resolved to where its weights lie.

    name: what the user called it, for messages; of a remote model (kind "openai") "openai:" and its name there.
    path: a transformers folder (kind "folder"), a diffusers folder ("diffusers"), or a file: of a language model ("gguf"), of
    an image model as its authors saved it ("checkpoint") or its denoiser alone, quantised ("image-gguf"); None for a remote
    model.  base: the diffusers folder that has what such a file of an image model lacks.  revision: the Hub
    commit, where it came from there; repo: its name there.  mode: what the model is meant for, when the catalogue knows ("chat" or "raw").
    """

    name: str
    kind: SourceKind
    path: Path | None = None
    base: Path | None = None
    revision: str | None = None
    repo: str | None = None
    mode: Literal["chat", "raw"] | None = None


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """How to open an engine: the same for every request it will get.

    adapters: folders of adapters that are merged into the weights, each with the share of its change that is applied.
    """

    device: str = "auto"
    dtype: str = "auto"
    adapters: tuple[tuple[Path, float], ...] = ()
    base_url: str | None = None
    api_key: str | None = None  # never printed: see __repr__
    api_key_env: str = "OPENAI_API_KEY"  # the variable it comes from, for messages
    timeout: float | None = None

    def __repr__(self) -> str:
        key = "set" if self.api_key else None
        local = f"device={self.device!r}, dtype={self.dtype!r}, adapters={self.adapters!r}"
        return f"EngineOptions({local}, base_url={self.base_url!r}, api_key={key})"


class TextEngine(Protocol):
    """A backend that holds a language model."""

    loaded: Loaded

    def stream(self, request: TextRequest) -> Generator[Event, None, None]:
        """Yields text as it is made and ends with one Done. Closing the generator stops the work.

        Raises: ContextOverflowError, OutOfMemoryError, UsageError for an option this engine cannot honour.
        """
        ...

    def count_tokens(self, messages: tuple[Message, ...]) -> int | None:
        """Tokens of the conversation as the model will see it; None where only the remote end could tell."""
        ...

    def close(self) -> None:
        """Gives the memory back."""
        ...


Confirm = Callable[[str], bool]  # asks the user a yes-or-no question

"""The engines, by modality and kind of model. Reached through strings, so that a backend is imported when chosen."""

from __future__ import annotations

import dataclasses
import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from aigc_cli.core.engine import EngineOptions, ModelSource, TextEngine
from aigc_cli.core.errors import ModelError

ENGINES: dict[str, dict[str, str]] = {
    "text": {
        "folder": "aigc_cli.backends.torch_text:TorchTextEngine",
        "gguf": "aigc_cli.backends.torch_text:TorchTextEngine",
        "openai": "aigc_cli.backends.openai_http:OpenAIEngine",
    },
}


def open_text_engine(source: ModelSource, options: EngineOptions) -> TextEngine:
    """Imports the backend for this kind of model and loads the weights: the only choice of backend.

    Raises: ModelError where there is none, and whatever loading raises.
    """
    try:
        module, _, name = ENGINES["text"][source.kind].partition(":")
    except KeyError:
        raise ModelError(f"no text engine takes a model of kind {source.kind!r}", f"there is: {', '.join(ENGINES['text'])}") from None
    started = time.perf_counter()
    with no_garbage_collection():
        engine: TextEngine = getattr(import_module(module), name)(source, options)
    engine.loaded = dataclasses.replace(engine.loaded, seconds=time.perf_counter() - started)  # imports counted
    return engine


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """For imports: they make half a million objects that all stay, and looking through them costs a fifth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()

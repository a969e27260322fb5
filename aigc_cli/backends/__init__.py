"""The engines, by modality and kind of model. Reached through strings, so that a backend is imported when chosen."""

from __future__ import annotations

import dataclasses
import gc
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aigc_cli.core.engine import EngineOptions, ModelSource, TextEngine
from aigc_cli.core.errors import ModelError, OutOfMemoryError, UsageError
from aigc_cli.core.finetune import FinetuneRequest
from aigc_cli.core.finetune_image import ImageFinetuneRequest
from aigc_cli.core.image import ImageEngine, ImageEngineOptions

if TYPE_CHECKING:
    from aigc_cli.backends.train.image.trainer import ImageTrainer
    from aigc_cli.backends.train.text.trainer import TextTrainer

logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # where it is installed, peft imports it, and it tells of missing kernels

ENGINES: dict[str, dict[str, str]] = {
    "text": {
        "folder": "aigc_cli.backends.torch_text:TorchTextEngine",
        "gguf": "aigc_cli.backends.torch_text:TorchTextEngine",
        "openai": "aigc_cli.backends.openai_http:OpenAIEngine",
    },
    "image": {
        "diffusers": "aigc_cli.backends.image.engine:TorchImageEngine",
        "checkpoint": "aigc_cli.backends.image.engine:TorchImageEngine",
        "image-gguf": "aigc_cli.backends.image.engine:TorchImageEngine",
    },
    "train": {
        "folder": "aigc_cli.backends.train.text.trainer:TextTrainer",
        "gguf": "aigc_cli.backends.train.text.trainer:TextTrainer",
    },
    "train-image": {
        "diffusers": "aigc_cli.backends.train.image.trainer:ImageTrainer",
        "checkpoint": "aigc_cli.backends.train.image.trainer:ImageTrainer",
    },
}

# Kernels that oneDNN compiled for the shapes of bfloat16 products, of 0.7 MB each, and torch for those of attention, in each
# thread, of which one length needs 8 MB. Their caches keep 1024 by themselves: with 100 lengths memory was seen to grow by
# 850 MB, with these by 75 MB, in the same time. Of one step all must fit in, or they are compiled anew in the next.
KERNELS_KEPT = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY": "64", "LRU_CACHE_CAPACITY": "32"}


def open_text_engine(source: ModelSource, options: EngineOptions) -> TextEngine:
    """Imports the backend for this kind of model and loads the weights: the only choice of backend.

    Raises: ModelError where there is none, and whatever loading raises.
    """
    started = time.perf_counter()
    with no_garbage_collection(), torchvision_named():
        engine: TextEngine = backend("text", source)(source, options)
    engine.loaded = dataclasses.replace(engine.loaded, seconds=time.perf_counter() - started)  # imports counted
    return engine


def open_image_engine(source: ModelSource, options: ImageEngineOptions) -> ImageEngine:
    """Imports the backend for this kind of image model and loads the weights. Raises: as open_text_engine."""
    started = time.perf_counter()
    silence_imports()
    with no_garbage_collection(), torchvision_named():
        engine: ImageEngine = backend("image", source)(source, options)
    engine.loaded = dataclasses.replace(engine.loaded, seconds=time.perf_counter() - started)  # imports counted
    return engine


def open_trainer(source: ModelSource, options: EngineOptions, request: FinetuneRequest) -> TextTrainer:
    """Imports the backend that trains this kind of model; no weights are read yet. Raises: as open_text_engine."""
    keep_few_kernels()
    with no_garbage_collection(), torchvision_named():
        trainer: TextTrainer = backend("train", source)(source, options, request)
    return trainer


def open_image_trainer(source: ModelSource, options: EngineOptions, request: ImageFinetuneRequest) -> ImageTrainer:
    """Imports the backend that trains this kind of image model; no weights are read yet. Raises: as open_text_engine."""
    keep_few_kernels()
    silence_imports()
    with no_garbage_collection(), torchvision_named():
        trainer: ImageTrainer = backend("train-image", source)(source, options, request)
    return trainer


def keep_few_kernels() -> None:
    for cache, kept in KERNELS_KEPT.items():
        os.environ.setdefault(cache, kept)  # read once, when torch first needs it


def silence_imports() -> None:
    for library in ("DIFFUSERS", "TRANSFORMERS"):
        os.environ.setdefault(f"{library}_VERBOSITY", "error")  # read as they are imported, which they remark upon


def backend(modality: str, source: ModelSource) -> Any:
    """The class that the table names. Raises: ModelError where there is none."""
    try:
        module, _, name = ENGINES[modality][source.kind].partition(":")
    except KeyError:
        message = f"no backend for {modality!r} takes a model of kind {source.kind!r}"
        raise ModelError(message, f"there is: {', '.join(ENGINES[modality])}") from None
    return getattr(import_module(module), name)


@contextmanager
def torchvision_named() -> Iterator[None]:
    """Around imports and loading, which a torchvision that does not fit torch lets fail: transformers blames whatever it imported first.

    Raises: ModelError that names torchvision, in place of what was raised for its sake.
    """
    try:
        yield
    except (UsageError, OutOfMemoryError):
        raise
    except Exception as error:
        from aigc_cli.installation import torchvision_problem

        if problem := torchvision_problem():
            raise ModelError(problem.message, problem.hint) from error
        raise


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """For imports: they make half a million objects that all stay, and looking through them costs a fifth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()

"""A result of training in the forms that other programs take: a whole model's folder, or a GGUF file."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from transformers import GenerationConfig

from aigc_cli.backends.adapters import merge_adapters
from aigc_cli.backends.device import Placement
from aigc_cli.backends.torch_load import LoadedModel, adopt_template, end_ids, load, location, memory_errors, read_generation_config
from aigc_cli.backends.train.text.gguf_file import GgufType, check_architecture, gguf_size, write_gguf
from aigc_cli.backends.train.text.gguf_vocabulary import read_vocabulary
from aigc_cli.backends.train.text.tokenizer_files import save_tokenizer
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import AigcError
from aigc_cli.core.events import Event
from aigc_cli.core.units import format_size

MERGED_IN = {GgufType.F16: "float16", GgufType.BF16: "bfloat16", GgufType.Q8_0: "float16"}


def load_merged(source: ModelSource, adapters: Sequence[tuple[Path, float]], dtype: str = "auto") -> LoadedModel:
    """The model on the CPU as it is stored, the adapters merged into it.

    dtype: of the weights that change, which are computed in float32; "auto" is what each is stored in.
    Raises: ModelError for what cannot be loaded or does not fit, OutOfMemoryError.
    """
    parts = load(source, Placement("cpu", "auto", "as stored"))
    if not adapters:
        return parts
    with memory_errors("cpu"):
        merge_adapters(parts.model, adapters, None if dtype == "auto" else getattr(torch, dtype))
    return dataclasses.replace(parts, end_ids=parts.end_ids + adopt_template(parts.tokenizer, adapters))


def write_merged(parts: LoadedModel, source: ModelSource, folder: Path, dtype: str = "auto") -> None:
    """A transformers folder with tokenizer, chat template and generation_config.

    source: what was loaded, for its generation_config.  dtype: of all weights; "auto" leaves them as they are.
    Raises: AigcError where the disk has too little room, OSError.
    """
    model = parts.model if dtype == "auto" else parts.model.to(getattr(torch, dtype))
    check_room(folder, sum(parameter.nbytes for parameter in model.parameters()))
    settings = read_generation_config(location(source)[0], model)
    if parts.end_ids != end_ids(settings, parts.tokenizer):  # the adapter's chat template ends turns with a token of its own
        settings.eos_token_id = list(parts.end_ids)
    model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]  # save_pretrained refuses what many models say; that is written as it stands
    model.save_pretrained(folder)
    save_tokenizer(parts.tokenizer, folder)
    settings.to_json_file(folder / "generation_config.json")


def write_gguf_file(parts: LoadedModel, path: Path, kind: GgufType, name: str) -> Iterator[Event]:
    """One GGUF file. Yields the progress in bytes, and cautions.

    name: of the model, for programs that list models.
    Raises: UsageError for a model or tokenizer that GGUF cannot hold, AigcError, OSError.
    """
    check_architecture(parts.model)
    vocabulary = read_vocabulary(parts.tokenizer, parts.model.get_input_embeddings().weight.shape[0])
    check_room(path, gguf_size(parts.model, kind))
    yield from write_gguf(path, parts.model, vocabulary, kind, name=name, ends=parts.end_ids, tokenizer=parts.tokenizer)


def check_room(path: Path, size: int) -> None:
    """Raises: AigcError before anything is written, where the disk does not hold so many bytes."""
    if (free := shutil.disk_usage(path.parent).free) < size:
        message = f"the result takes {format_size(size)}, and {path.parent} has {format_size(free)} free"
        raise AigcError(message, "make room, or choose another -o")

"""Is this folder or file an image model that can be loaded? Looked at before anything slow happens.

Reads configs and headers, never weights, and imports no engine. Every fault has a message of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aigc_cli.core.engine import SourceKind
from aigc_cli.core.errors import ModelError
from aigc_cli.models.check import (
    CONFIG,
    CONVERT,
    FETCH_AGAIN,
    PICKLES,
    PIPELINE_INDEX,
    files_with,
    is_generative,
    is_pickle,
    read_header,
    read_json,
    shorten,
    whole_pipeline,
)
from aigc_cli.models.checkpoints import identify_checkpoint, is_adapter

LIBRARIES = ("diffusers", "transformers")
WITHOUT_WEIGHTS = re.compile("Scheduler|Tokenizer|Processor|FeatureExtractor")
PART_WEIGHTS = ("diffusion_pytorch_model", "model")  # diffusers' name and transformers'
A_PIPELINE = f"an image model's folder has a {PIPELINE_INDEX} and a folder for each of its parts"


def check_image_model(path: Path) -> tuple[SourceKind, Path]:
    """What kind of model lies at this path, and the folder or file to load. Raises: ModelError."""
    suffix = path.suffix.lower()
    if path.is_dir():
        check_pipeline(path)
        return "diffusers", path
    if suffix in (".safetensors", ".gguf"):
        check_checkpoint(path)
        return ("image-gguf" if suffix == ".gguf" else "checkpoint"), path
    if suffix in PICKLES and is_pickle(path):
        raise ModelError(f"{path} is a pickle", CONVERT)
    raise ModelError(f"{path} is no model that aigc knows", "name a diffusers folder, a .safetensors checkpoint, or a .gguf file")


def check_checkpoint(path: Path) -> None:
    """Raises: ModelError unless a known image model is in the file."""
    header = read_header(path)
    if identify_checkpoint(header.shapes):
        return
    if is_adapter(header.shapes):
        raise ModelError(f"{path} is an adapter, which goes on top of a model", f"use it with its model: -m MODEL --adapter {path}")
    if "tokenizer.ggml.model" in header.metadata or holds_text_model(path.parent):
        raise ModelError(f"{path} holds a language model, not an image model", f'it writes text: aigc complete -m {path} "..."')
    raise ModelError(f"{path} holds no image model that is known by its tensors", "use the model's diffusers folder, if there is one")


def check_pipeline(folder: Path) -> None:
    """Raises: ModelError unless diffusers could load a pipeline from here without running code of the model's own."""
    for part, (library, name) in read_pipeline(folder).items():
        if library not in LIBRARIES and (folder / part / f"{library}.py").exists():
            raise needs_code(folder)
        if not (folder / part).is_dir():
            raise ModelError(f"{folder} lacks its folder {part} ({name})", "fetch the missing files")
        if not WITHOUT_WEIGHTS.search(name):
            for file in part_weights(folder / part):
                read_header(file)


def read_pipeline(folder: Path) -> dict[str, tuple[str, str]]:
    """The parts of a pipeline that it has: library and class of each, by the folder's name. Raises: ModelError."""
    if not (folder / PIPELINE_INDEX).exists():
        raise ModelError(f"{folder} holds no image model: it has no {PIPELINE_INDEX}", what_else_is_there(folder))
    return pipeline_parts(read_json(folder / PIPELINE_INDEX), folder)


def pipeline_parts(index: dict[str, Any], holder: Path | str) -> dict[str, tuple[str, str]]:
    """Of an index that is read. holder: the folder or repository it came from, for messages. Raises: ModelError."""
    if not isinstance(index.get("_class_name"), str):
        raise needs_code(holder) if isinstance(index.get("_class_name"), list) else no_pipeline(holder)
    parts = dict(pairs(index))
    if not parts:
        raise no_pipeline(holder)
    return parts


def pairs(index: dict[str, Any]) -> Iterator[tuple[str, tuple[str, str]]]:
    for part, value in index.items():
        if isinstance(value, list) and len(value) == 2 and all(isinstance(word, str) for word in value) and not part.startswith("_"):
            yield part, (value[0], value[1])


def no_pipeline(holder: Path | str) -> ModelError:
    return ModelError(f"the {PIPELINE_INDEX} of {holder} describes no pipeline", FETCH_AGAIN)


def needs_code(holder: Path | str) -> ModelError:
    return ModelError(f"{holder} needs Python code of its own", "aigc never runs code that comes with a model: use another one")


def part_weights(folder: Path) -> list[Path]:
    """The safetensors files of one part. Raises: ModelError where one is missing."""
    for stem in PART_WEIGHTS:
        whole, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
        if whole.exists():
            return [whole]
        if index.exists():
            return shards(index)
    if pickles := files_with(folder, PICKLES):
        raise ModelError(f"{folder} has its weights only as a pickle: {pickles[0].name}", CONVERT)
    if others := files_with(folder, (".safetensors",)):
        names = shorten([file.name for file in others])
        raise ModelError(f"{folder} has no {PART_WEIGHTS[0]}.safetensors", f"there is {names}: rename it if it is the whole part")
    raise ModelError(f"{folder} has no weights", "fetch the missing files")


def shards(index: Path) -> list[Path]:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise ModelError(f"{index} is damaged: it names no files", FETCH_AGAIN)
    files = [index.parent / Path(str(name)).name for name in sorted(set(map(str, names.values())))]
    if missing := [file.name for file in files if not file.exists()]:
        raise ModelError(f"{index.parent} lacks {len(missing)} of {len(files)} weight files: {shorten(missing)}", "fetch the missing files")
    return files


def holds_text_model(folder: Path) -> bool:
    architectures = read_json(folder / CONFIG).get("architectures") if (folder / CONFIG).exists() else None
    return isinstance(architectures, list) and any(map(is_generative, architectures))


def what_else_is_there(folder: Path) -> str:
    """A hint for a folder that is no pipeline's."""
    if holds_text_model(folder):
        return f'it holds a language model: aigc complete -m {folder} "..."'
    if (folder / CONFIG).exists() and "_class_name" in read_json(folder / CONFIG):
        return whole_pipeline(folder)
    for file in files_with(folder, (".safetensors",)):
        if identify_checkpoint(read_header(file).shapes):
            return f"name the checkpoint in it: -m {file}"
        if is_adapter(read_header(file).shapes):
            return f"it holds an adapter, which goes on top of a model: -m MODEL --adapter {file}"
    return A_PIPELINE

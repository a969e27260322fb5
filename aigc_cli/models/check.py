"""Is this folder or file a language model that can be loaded? Looked at before anything slow happens.

Reads configs and headers, never weights, and imports no engine. Every fault has a message of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from aigc_cli.core.engine import SourceKind
from aigc_cli.core.errors import ModelError
from aigc_cli.models.checkpoints import identify_checkpoint, is_adapter
from aigc_cli.models.headers import DamagedFileError, Header, read_gguf_header, read_safetensors_header

CONFIG, ADAPTER_CONFIG, PIPELINE_INDEX = "config.json", "adapter_config.json", "model_index.json"
WEIGHTS, WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = (".bin", ".pth", ".pt", ".ckpt")
WEIGHT_SUFFIXES = (".gguf", ".safetensors", *PICKLES)
TOKENIZERS = (
    ("tokenizer.json",),
    ("tokenizer.model",),
    ("spiece.model",),
    ("sentencepiece.bpe.model",),
    ("vocab.json", "merges.txt"),
    ("vocab.txt",),
)
BYTE_TOKENIZERS = ("ByT5Tokenizer", "CanineTokenizer", "PerceiverTokenizer")  # they need no vocabulary
GENERATIVE = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")
GENERATIVE_BASES = ("BartModel", "MBartModel", "T5Model", "GPT2Model")  # their head is the embedding, so nothing is missing

LFS_POINTER = b"version https://git-lfs.github.com/spec/"  # what a clone without Git LFS leaves in a large file's place
CONVERT = "a pickle can run code when it is loaded: convert it with the model's save_pretrained(), which writes safetensors"
FETCH_AGAIN = "fetch the file again: it was cut short or altered on its way"


def check_model(path: Path) -> tuple[SourceKind, Path]:
    """What kind of model lies at this path, and the folder or file to load. Raises: ModelError."""
    if path.is_dir():
        check_folder(path)
        return "folder", path
    if path.suffix.lower() == ".gguf":
        check_gguf(path)
        return "gguf", path
    if path.suffix.lower() == ".safetensors":
        return check_single_file(path)
    if path.suffix.lower() in PICKLES and is_pickle(path):
        raise ModelError(f"{path} is a pickle", CONVERT)
    raise ModelError(f"{path} is no model that aigc knows", "name a transformers folder, or a .gguf file")


def is_pickle(path: Path) -> bool:
    """Whether it begins as torch.save's files do: a zip archive, or a bare pickle of protocol 2 and up."""
    try:
        with path.open("rb") as file:
            return file.read(4).startswith((b"PK\x03\x04", b"\x80"))
    except OSError as error:
        raise cannot_read(path, error) from error


def check_folder(folder: Path) -> None:
    """Raises: ModelError unless transformers could load a language model and its tokenizer from here."""
    check_config(folder)
    for file in weight_files(folder):
        read_header(file)
    check_tokenizer(folder)


def check_config(folder: Path) -> None:
    if (folder / PIPELINE_INDEX).exists():
        raise ModelError(f"{folder} holds an image model, not a language model", f'it draws: aigc image -m {folder} "..."')
    if not (folder / CONFIG).exists():
        if (folder / ADAPTER_CONFIG).exists():
            raise ModelError(f"{folder} is an adapter, which goes on top of a model", adapter_usage(folder))
        raise ModelError(f"{folder} holds no language model: it has no {CONFIG}", what_else_is_there(folder))
    config = read_json(folder / CONFIG)
    if part := config.get("_class_name"):  # as diffusers writes it
        raise ModelError(f"{folder} holds one part of an image model, a {part}", whole_pipeline(folder))
    architectures = config.get("architectures") or []
    if not isinstance(architectures, list):
        raise ModelError(f"{folder / CONFIG} is damaged: its architectures are no list", FETCH_AGAIN)
    if not architectures and not config.get("model_type"):
        raise ModelError(f"{folder / CONFIG} describes no model: it names neither architectures nor a model_type")
    if architectures and not any(map(is_generative, architectures)):
        names = ", ".join(map(str, architectures))
        raise ModelError(f"{folder} holds no language model but a {names}", "it should be a ...ForCausalLM or the like")


def is_generative(architecture: object) -> bool:
    return isinstance(architecture, str) and (architecture.endswith(GENERATIVE) or architecture in GENERATIVE_BASES)


def adapter_usage(folder: Path) -> str:
    base = read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    return f"use it with the model it was trained on: -m {base or 'MODEL'} --adapter {folder}"


def whole_pipeline(folder: Path) -> str:
    """A hint for the folder of one part."""
    above = folder.absolute().parent
    return f'name the whole of it: aigc image -m {above} "..."' if (above / PIPELINE_INDEX).exists() else "take the whole model it is from"


def what_else_is_there(folder: Path) -> str:
    """A hint for a folder that is none of transformers'."""
    for file in files_with(folder, (".safetensors",)):
        shapes = read_header(file).shapes
        if identify_checkpoint(shapes):
            return f'it holds an image model: aigc image -m {file} "..."'
        if is_adapter(shapes):
            return f"it holds an adapter, which goes on top of a model: -m MODEL --adapter {file}"
    if ggufs := sorted(folder.glob("*.gguf")):
        return f"name the GGUF file in it: -m {ggufs[0]}"
    if pickles := files_with(folder, PICKLES):
        return f"it holds {pickles[0].name}: {CONVERT}"
    return "a model's folder has a config.json, its weights as safetensors, and a tokenizer"


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that make up the model. Raises: ModelError where one is missing."""
    if (folder / WEIGHTS).exists():
        return [folder / WEIGHTS]
    if (folder / WEIGHTS_INDEX).exists():
        shards = read_json(folder / WEIGHTS_INDEX).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise ModelError(f"{folder / WEIGHTS_INDEX} is damaged: it names no files", FETCH_AGAIN)
        files = [folder / Path(str(name)).name for name in sorted(set(map(str, shards.values())))]
        if missing := [file.name for file in files if not file.exists()]:
            raise ModelError(f"{folder} lacks {len(missing)} of {len(files)} weight files: {shorten(missing)}", "fetch the missing files")
        return files
    if pickles := files_with(folder, PICKLES):
        raise ModelError(f"{folder} has its weights only as a pickle: {pickles[0].name}", CONVERT)
    if others := files_with(folder, (".safetensors",)):
        names = shorten([file.name for file in others])
        raise ModelError(f"{folder} has no {WEIGHTS}", f"there is {names}: rename it if it is the whole model")
    raise ModelError(f"{folder} has no weights", f"a model's weights are in {WEIGHTS}")


def check_tokenizer(folder: Path) -> None:
    if any(all((folder / name).exists() for name in names) for names in TOKENIZERS):
        return
    config = folder / "tokenizer_config.json"
    if config.exists() and read_json(config).get("tokenizer_class") in BYTE_TOKENIZERS:
        return
    raise ModelError(f"{folder} has no tokenizer", "copy tokenizer.json, or tokenizer.model, from where the model came from")


def check_single_file(path: Path) -> tuple[SourceKind, Path]:
    """A safetensors file stands for its folder, where the config and the tokenizer are."""
    check_is_text(path, read_header(path))
    folder = path.parent
    if not (folder / CONFIG).exists():
        raise ModelError(f"{path} has no {CONFIG} beside it", "it holds weights only: put the model's config and tokenizer there too")
    check_config(folder)
    if path.name not in [file.name for file in weight_files(folder)]:
        raise ModelError(f"{path} is not the weights of the model in its folder", f"those are in {WEIGHTS}: name the folder")
    check_folder(folder)
    return "folder", folder


def check_gguf(path: Path) -> None:
    header = read_header(path)
    check_is_text(path, header)
    architecture = header.metadata.get("general.architecture")
    if not architecture:
        raise ModelError(f"{path} does not say what model it is: it has no general.architecture", FETCH_AGAIN)
    if not header.parameters:
        raise ModelError(f"{path} holds a vocabulary only, no weights", "take the GGUF file of the model itself")
    if architecture == "clip":
        raise ModelError(f"{path} holds the image part of a model, not its language part", "take the GGUF file of the model itself")
    if not header.metadata.get("tokenizer.ggml.model"):
        raise ModelError(f"{path} has no tokenizer: it has no tokenizer.ggml.model", "take a GGUF file that holds one too")


def check_is_text(path: Path, header: Header) -> None:
    """Raises: ModelError for the file of an image model."""
    if image := identify_checkpoint(header.shapes):
        raise ModelError(f"{path} holds an image model ({image.family}), not a language model", f'it draws: aigc image -m {path} "..."')


def read_header(path: Path) -> Header:
    """Raises: ModelError for a file that is damaged or may not be read."""
    read = read_gguf_header if path.suffix.lower() == ".gguf" else read_safetensors_header
    try:
        return read(path)
    except DamagedFileError as error:
        if is_lfs_pointer(path):
            raise ModelError(f"{path} is a pointer of Git LFS, not the file itself", "fetch the file: git lfs pull") from error
        raise ModelError(f"{path} is damaged: {error}", FETCH_AGAIN) from error
    except OSError as error:
        raise cannot_read(path, error) from error


def is_lfs_pointer(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(LFS_POINTER)) == LFS_POINTER


def read_json(path: Path) -> dict[str, Any]:
    """Raises: ModelError for a file that is no JSON object or may not be read."""
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is damaged: it is no JSON ({error})", FETCH_AGAIN) from error
    except OSError as error:
        raise cannot_read(path, error) from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} is damaged: it holds no JSON object", FETCH_AGAIN)
    return value


def cannot_read(path: Path, error: OSError) -> ModelError:
    return ModelError(f"{path}: {(error.strerror or str(error)).lower()}", "check that the file is there and may be read")


def files_with(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """training_args.bin is no weights, though its name looks like some."""
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in suffixes and file.name != "training_args.bin")


def shorten(names: list[str]) -> str:
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")

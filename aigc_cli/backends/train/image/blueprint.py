"""A new pipeline, described part by part in one TOML file.

    [pipeline]
    class = "StableDiffusionPipeline"
    [tokenizer]
    vocab_size = 4096        # at most: the captions may have fewer tokens worth learning
    max_length = 32
    [text_encoder]           # a class, and fields of its config; what is left out is the library's default
    class = "CLIPTextModel"
    hidden_size = 192
    [vae]                    # or path = "FOLDER", for an autoencoder that is there: it is taken as it is
    class = "AutoencoderTiny"
    [unet]
    class = "UNet2DConditionModel"
    [scheduler]
    class = "DDPMScheduler"
    [autoencoder_training]   # the fields of AutoencoderTraining
    steps = 4000

The file may at the same time be the one of `--config`: then its options stand above the tables, and `from-scratch` is one of them.
"""

from __future__ import annotations

import dataclasses
import inspect
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPTextConfig, CLIPTextModel

from aigc_cli.backends.train.image.autoencoder_training import AutoencoderTraining
from aigc_cli.backends.train.image.new_parts import KINDS, CaptionTokenizer, Part, Parts, check_fit, make_parts, open_autoencoder
from aigc_cli.core.errors import UsageError
from aigc_cli.core.nearest import nearest

PIPELINE = "StableDiffusionPipeline"
TABLES = ("pipeline", "tokenizer", *KINDS, "autoencoder_training")
OF_TOKENIZER = {  # fields of a text encoder's config that its tokenizer decides
    "vocab_size": "vocab_size in [tokenizer]",
    "max_position_embeddings": "max_length in [tokenizer]",
    **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), "they follow from the tokenizer"),
}
SMALLEST_VOCAB = 515  # the 256 bytes, inside a word and at its end, begin and end of a caption, and one more
NEVER_FIELDS = {"self", "kwargs", "transformers_version", "architectures", "id2label", "label2id", "problem_type", "is_encoder_decoder"}


@dataclass(frozen=True)
class Blueprint:
    """What is to be built. parts: by their names in the pipeline.

    existing_vae: the folder of an autoencoder that is taken as it is; then there is no "vae" among the parts.
    """

    path: Path
    tokenizer: CaptionTokenizer
    parts: Mapping[str, Part]
    existing_vae: Path | None
    autoencoder_training: AutoencoderTraining

    def outline(self) -> Parts:
        """Of the sizes that the real ones will have, if the captions are worth so many tokens; their weights take no memory."""
        with torch.device("meta"):
            vae = open_autoencoder(self.existing_vae, with_weights=False) if self.existing_vae else None
            return make_parts(self.parts, self.tokenizer, vae)


def read_blueprint(path: Path) -> Blueprint:
    """Every name in the file checked, and the parts tried out without weights.

    Raises: UsageError for what is unknown or does not fit together; ModelError for an autoencoder that cannot be loaded.
    """
    tables = read_tables(path)
    pipeline = dict(tables["pipeline"])
    class_of(path, "pipeline", pipeline, {PIPELINE: None})
    refuse_unknown(path, "pipeline", pipeline, ())
    vae = dict(tables["vae"])
    existing = vae.pop("path", None)
    if existing is not None and (vae or tables["autoencoder_training"]):
        raise UsageError(
            f"{path}: the autoencoder in [vae] path is taken as it is",
            "leave out the other fields of [vae], and [autoencoder_training]; or leave out path",
        )
    if not (existing is None or isinstance(existing, str)):
        raise UsageError(f"{path}: [vae] path is {existing!r}", "it names a folder")
    names = [name for name in KINDS if not (name == "vae" and existing)]
    blueprint = Blueprint(
        path=path,
        tokenizer=read_tokenizer(path, tables["tokenizer"]),
        parts={name: read_part(path, name, tables[name]) for name in names},
        existing_vae=Path(existing).expanduser() if existing else None,
        autoencoder_training=read_training(path, tables["autoencoder_training"]),
    )
    check_fit(path, blueprint.outline(), blueprint.tokenizer)
    return blueprint


def read_tables(path: Path) -> dict[str, dict[str, Any]]:
    """All of TABLES; what is no table is an option of --config, and stands only in a file that is used as one."""
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}", "--from-scratch wants a TOML file with the tables " + in_brackets(TABLES)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "--from-scratch wants a TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: {error}", "mend the file: --from-scratch wants TOML") from None
    tables = {name: value for name, value in values.items() if isinstance(value, dict)}
    is_recipe = "from-scratch" in values or "from_scratch" in values
    for name in values.keys() - tables.keys():
        if not is_recipe:
            raise UsageError(f"{path}: {name} stands outside of the tables", "move it below one of " + in_brackets(TABLES))
    for name in tables.keys() - set(TABLES):
        raise UsageError(f"{path}: there is no table [{name}]", nearest(name, TABLES) or "there is: " + in_brackets(TABLES))
    for name in TABLES:
        if name not in tables and name != "autoencoder_training":
            raise UsageError(f"{path}: the table [{name}] is missing", "a new pipeline is described by " + in_brackets(TABLES))
    return {"autoencoder_training": {}, **tables}


def in_brackets(names: tuple[str, ...]) -> str:
    return " ".join(f"[{name}]" for name in names)


def read_tokenizer(path: Path, table: dict[str, Any]) -> CaptionTokenizer:
    known = {field.name for field in dataclasses.fields(CaptionTokenizer)}
    refuse_unknown(path, "tokenizer", table, known)
    for name, value in table.items():
        least = SMALLEST_VOCAB if name == "vocab_size" else 3
        if type(value) is not int or value < least:
            raise UsageError(f"{path}: [tokenizer] {name} is {value!r}", f"it is a whole number, {least} or more")
    if "vocab_size" not in table:
        raise UsageError(f"{path}: [tokenizer] has no vocab_size", "4096 suits some thousand captions")
    return CaptionTokenizer(**table)


def read_part(path: Path, name: str, table: dict[str, Any]) -> Part:
    fields = dict(table)
    kind = KINDS[name][class_of(path, name, fields, KINDS[name])]
    if name == "text_encoder":
        for field, where in OF_TOKENIZER.items():
            if field in fields:
                raise UsageError(f"{path}: [text_encoder] {field} is not for the text encoder to say", f"instead: {where}")
    refuse_unknown(path, name, fields, fields_of(kind))
    return Part(kind, {field: tuple(value) if isinstance(value, list) else value for field, value in fields.items()})


def fields_of(kind: Any) -> set[str]:
    """The names of what a class is made from."""
    if kind is CLIPTextModel:
        return {field.name for field in dataclasses.fields(CLIPTextConfig)} - NEVER_FIELDS
    return set(inspect.signature(kind.__init__).parameters) - NEVER_FIELDS


def read_training(path: Path, table: dict[str, Any]) -> AutoencoderTraining:
    known = {field.name: field for field in dataclasses.fields(AutoencoderTraining)}
    refuse_unknown(path, "autoencoder_training", table, known)
    for name, value in table.items():
        whole = isinstance(known[name].default, int)
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
            raise UsageError(f"{path}: [autoencoder_training] {name} is {value!r}", f"it is a {'whole ' if whole else ''}number")
    try:
        return AutoencoderTraining(**table)
    except UsageError as error:
        raise UsageError(f"{path}: [autoencoder_training] {error.message}", error.hint) from None


def class_of(path: Path, table: str, fields: dict[str, Any], known: Mapping[str, Any]) -> str:
    """Takes the class out of the fields."""
    name = fields.pop("class", None)
    if name is None:
        raise UsageError(f"{path}: [{table}] has no class", f"there is: {', '.join(known)}")
    if name not in known:
        hint = nearest(str(name), tuple(known)) or f"there is: {', '.join(known)}"
        raise UsageError(f"{path}: [{table}] cannot be a {name}", hint)
    return str(name)


def refuse_unknown(path: Path, table: str, fields: Mapping[str, Any], known: Any) -> None:
    for name in fields:
        if name not in known:
            hint = nearest(name, tuple(known)) or (f"there is: {', '.join(sorted(known))}" if known else "leave it out")
            raise UsageError(f"{path}: [{table}] has no {name}", hint)

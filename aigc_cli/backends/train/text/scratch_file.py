"""The file that describes a model which begins from nothing: a transformers config.json, or TOML, which can say more.

    [config]                 # as in config.json
    model_type = "llama"
    hidden_size = 256
    [tokenizer]              # the fields of TurnFormat; left out, conversations are written as ChatML
    chat_template = "..."
    end_of_turn = "<|end|>"
    special_tokens = ["<|user|>", "<|assistant|>"]
    [generation_config]      # as in generation_config.json
    temperature = 0.6

The TOML file may at the same time be the one of `--config`: then its options stand above the tables, and `from-scratch` is one of them.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from transformers import GenerationConfig
from transformers.utils.chat_template_utils import render_jinja_template

from aigc_cli.backends.prompting import template_guard
from aigc_cli.backends.train.text.new_tokenizer import END_OF_TEXT, PADDING, TurnFormat
from aigc_cli.core.errors import UsageError
from aigc_cli.core.nearest import nearest

TABLES = ("config", "tokenizer", "generation_config")
EXAMPLE = 'such as {"model_type": "llama", "hidden_size": 256, "num_hidden_layers": 6, "num_attention_heads": 8}'
FROM_TOKENIZER = ("bos_token_id", "eos_token_id", "pad_token_id")
ANSWER = "aigcanswer"


@dataclass(frozen=True)
class ScratchFile:
    """config: what transformers builds the model from, not checked yet.  turns: None where the file leaves them open.

    generation: fields of a GenerationConfig.
    """

    config: dict[str, Any]
    turns: TurnFormat | None = None
    generation: Mapping[str, Any] = field(default_factory=dict)


def read_scratch_file(path: Path) -> ScratchFile:
    """Raises: UsageError for a file that cannot be read, and for what is wrong with its tokenizer or generation."""
    text = read_text(path)
    if path.suffix.lower() != ".toml":
        return ScratchFile(config_of_json(path, text))
    tables = tables_of(path, text)
    turns = turns_of(path, tables["tokenizer"]) if tables["tokenizer"] else None
    check_generation(path, tables["generation_config"])
    return ScratchFile(tables["config"], turns, tables["generation_config"])


def read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}", f"--from-scratch wants a transformers config, {EXAMPLE}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "--from-scratch wants a transformers config.json, or TOML") from error


def config_of_json(path: Path, text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}:{error.lineno}: not JSON: {error.msg}", "--from-scratch wants a transformers config.json") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path} holds no JSON object", f"--from-scratch wants a transformers config, {EXAMPLE}")
    return values


def tables_of(path: Path, text: str) -> dict[str, dict[str, Any]]:
    """All of TABLES; what is no table is an option of --config, and stands only in a file that is used as one."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: {error}", "mend the file: it should be TOML") from None
    tables = {name: value for name, value in values.items() if isinstance(value, dict)}
    is_recipe = "from-scratch" in values or "from_scratch" in values
    listed = " ".join(f"[{name}]" for name in TABLES)
    for name in values.keys() - tables.keys():
        if not is_recipe:
            raise UsageError(f"{path}: {name} stands outside of the tables", f"move it below one of {listed}")
    for name in tables.keys() - set(TABLES):
        raise UsageError(f"{path}: there is no table [{name}]", nearest(name, TABLES) or f"there is: {listed}")
    if "config" not in tables:
        raise UsageError(f"{path}: the table [config] is missing", 'it says what is built: model_type = "llama", hidden_size = 256')
    return {name: tables.get(name, {}) for name in TABLES}


def turns_of(path: Path, table: Mapping[str, Any]) -> TurnFormat:
    """Raises: UsageError for a template that cannot be used, or does not end an answer as the table says."""
    known = [field.name for field in dataclasses.fields(TurnFormat)]
    for name in known:
        if name not in table:
            raise UsageError(f"{path}: [tokenizer] has no {name}", f"it wants {', '.join(known)}; without the table, ChatML is used")
    for name in table:
        if name not in known:
            raise UsageError(f"{path}: [tokenizer] has no field {name}", nearest(name, known) or f"there is: {', '.join(known)}")
    specials, end = table["special_tokens"], table["end_of_turn"]
    marks = [*specials, end] if isinstance(specials, list) else []
    is_text = bool(marks) and all(isinstance(mark, str) and mark.strip() for mark in marks)
    if not is_text or len({*marks, END_OF_TEXT, PADDING}) < len(marks) + 2:
        message = f"{path}: special_tokens and end_of_turn in [tokenizer] should be different texts"
        raise UsageError(message, f"{END_OF_TEXT} and {PADDING} are there in any case")
    turns = TurnFormat(str(table["chat_template"]), end, tuple(specials))
    check_template(path, turns)
    return turns


def check_template(path: Path, turns: TurnFormat) -> None:
    talk = [{"role": "user", "content": "question"}, {"role": "assistant", "content": ANSWER}]
    try:
        with template_guard():
            rendered = render_jinja_template([talk], chat_template=turns.chat_template, bos_token=END_OF_TEXT, eos_token=turns.end_of_turn)
    except UsageError as refusal:
        raise UsageError(f"{path}: [tokenizer] chat_template: {refusal.message}", "it is Jinja, as transformers reads it") from None
    [text], _ = cast("tuple[list[str], Any]", rendered)  # it is declared to return a string
    if turns.end_of_turn not in text.partition(ANSWER)[2]:
        message = f"{path}: the chat_template in [tokenizer] puts no {turns.end_of_turn} after an answer"
        raise UsageError(message, "replies stop at end_of_turn: the template should write it")


def check_generation(path: Path, values: Mapping[str, Any]) -> None:
    known = GenerationConfig().to_dict().keys() - {"transformers_version", "_from_model_config"}  # type: ignore[no-untyped-call]
    for name in values:
        if name in FROM_TOKENIZER:
            raise UsageError(f"{path}: {name} in [generation_config] follows from the tokenizer", "leave it out")
        if name not in known:
            raise UsageError(
                f"{path}: [generation_config] has no field {name}", nearest(name, sorted(known)) or "see transformers' GenerationConfig"
            )
    try:
        GenerationConfig(**values).validate(strict=True)  # type: ignore[no-untyped-call]
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path}: [generation_config]: {str(error).splitlines()[0]}", "correct it, or leave it out") from error

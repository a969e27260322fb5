"""A model that begins from nothing but a config file: the config checked, the weights drawn."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, GenerationConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import logging

from aigc_cli.backends.train.text.new_tokenizer import TurnFormat
from aigc_cli.backends.train.text.scratch_file import EXAMPLE, FROM_TOKENIZER, read_scratch_file
from aigc_cli.core.errors import AigcError, UsageError

PROBE_TOKENS = 4


@dataclass(frozen=True)
class Blueprint:
    """A config that a model can be built from.

    vocab_size: what the file says, None where it leaves it open.  body_per_width: weights without the embeddings, over the width.
    turns: how its tokenizer writes conversations, None where the file leaves it open.  generation: fields of a GenerationConfig.
    """

    config: Any
    vocab_size: int | None
    body_per_width: int
    turns: TurnFormat | None = None
    generation: Mapping[str, Any] = field(default_factory=dict)


def read_blueprint(path: Path) -> Blueprint:
    """The description of a causal language model, its sizes tried out without weights.

    Raises: UsageError for what is no such config, or names layers that do not fit together.
    """
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    described = read_scratch_file(path)
    values = dict(described.config)
    if "auto_map" in values:
        raise UsageError(
            f"{path} names Python code of its own (auto_map)", "aigc never runs code that comes with a model: leave auto_map out"
        )
    model_type = check_model_type(path, values)
    vocab_size = values.pop("vocab_size", None)
    if not (vocab_size is None or (isinstance(vocab_size, int) and vocab_size > 0)):
        raise UsageError(f"{path}: vocab_size is {vocab_size!r}", "leave it out: it is chosen by the corpus, or by --vocab-size")
    try:
        # special tokens belong to a tokenizer that is not there yet
        config = CONFIG_MAPPING[model_type](**{**values, **dict.fromkeys(FROM_TOKENIZER)})
        check_names(path, config, values)
        check_kind(path, config)
        check_layers(path, config)
        body_per_width = try_out(config)
    except AigcError:
        raise
    except Exception as error:  # transformers checks sizes here and there, and raises almost anything
        raise UsageError(f"{path}: no model can be built from it: {cause(error)}", "correct the sizes in it") from error
    return Blueprint(config, vocab_size, body_per_width, described.turns, described.generation)


def check_model_type(path: Path, values: dict[str, Any]) -> str:
    """Raises: UsageError with the nearest names there are."""
    model_type = values.pop("model_type", None)
    if model_type is None:
        raise UsageError(f"{path} has no model_type", f"name a family, {EXAMPLE}")
    names = list(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    if model_type not in names:
        near = difflib.get_close_matches(str(model_type).lower(), names, n=3) or ["llama", "qwen3", "gpt2"]
        known = isinstance(model_type, str) and model_type in CONFIG_MAPPING
        what = "is no causal language model" if known else "is unknown to transformers"
        raise UsageError(f"{path}: model_type {model_type!r} {what}", f"there is: {', '.join(near)}")
    return str(model_type)


def check_kind(path: Path, config: Any) -> None:
    if config.is_encoder_decoder:
        raise UsageError(f"{path}: {config.model_type} is an encoder-decoder", "from scratch, a decoder can be trained: llama, qwen3, gpt2")
    if config.sub_configs:
        raise UsageError(f"{path}: {config.model_type} also sees or hears", "take its language part, such as gemma3_text for gemma3")
    if getattr(config, "is_decoder", True) is False:
        raise UsageError(f"{path}: {config.model_type} reads in both directions as it stands", 'add "is_decoder": true to let it write')


def check_names(path: Path, config: Any, values: dict[str, Any]) -> None:
    """transformers takes any name without a word; one that is nearly a known name is a slip of the pen."""
    known = {field.name for field in dataclasses.fields(config)} | set(config.attribute_map)
    for name in set(values) - known - set(vars(type(config))):
        if near := difflib.get_close_matches(name, known, n=1, cutoff=0.85):
            raise UsageError(f"{path}: a {config.model_type} config has no {name!r}", f"did you mean {near[0]}?")


def check_layers(path: Path, config: Any) -> None:
    layers, heads = (getattr(config, name, None) for name in ("num_hidden_layers", "num_attention_heads"))
    if layers == 0:
        raise UsageError(f"{path}: num_hidden_layers is 0", "a model has at least one layer")
    kv_heads = getattr(config, "num_key_value_heads", None)
    if heads and kv_heads and heads % kv_heads:
        message = f"{path}: {heads} attention heads cannot share {kv_heads} key-value heads"
        raise UsageError(message, "num_attention_heads must be a multiple of num_key_value_heads")


def try_out(config: Any) -> int:
    """A forward pass without numbers, which raises whatever torch says of sizes that do not fit together.

    Returns: Blueprint.body_per_width.
    """
    with torch.device("meta"), torch.no_grad():
        model = AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]
        model(input_ids=torch.zeros(1, PROBE_TOKENS, dtype=torch.long))
    tables = {id(table.weight): table.weight.numel() for table in (model.get_input_embeddings(), model.get_output_embeddings())}
    body = sum(parameter.numel() for parameter in model.parameters()) - sum(tables.values())
    return int(body // model.get_input_embeddings().weight.shape[1])


def cause(error: Exception) -> str:
    """The last line says it: transformers' validators name themselves in the lines before."""
    if isinstance(error, KeyError):
        return f"{error} is unknown to transformers"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"^\w*Error: ", "", lines[-1])[:300] if lines else type(error).__name__


def build_model(blueprint: Blueprint, tokenizer: Any, seed: int, dtype: torch.dtype) -> Any:
    """Random weights, as the model's family draws them; the same seed gives the same, and the random state stays as it was.

    The vocabulary's size and the special tokens are the tokenizer's.
    """
    config = copy.deepcopy(blueprint.config)
    config.vocab_size = len(tokenizer)
    special = {name: getattr(tokenizer, name) for name in FROM_TOKENIZER}
    for name, value in special.items():
        setattr(config, name, value)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)  # type: ignore[no-untyped-call]
    model.generation_config = GenerationConfig(**blueprint.generation, **special)  # type: ignore[no-untyped-call]
    return model

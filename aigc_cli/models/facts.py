"""What is known of a model from its config and headers alone; no weights are read."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aigc_cli.models.check import CONFIG, read_header, read_json, weight_files

# the names that families of configs use for one thing, the commonest first
CONTEXT = ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length")
LAYERS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
HEADS = ("num_attention_heads", "n_head", "num_heads", "n_heads")
WIDTH = ("hidden_size", "n_embd", "d_model", "dim")
HEAD_WIDTH = ("head_dim", "d_kv")
DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """parameters: None where no header tells.  dtype: most parameters' type, by torch's name where it has one.

    kv_numbers: numbers that the KV cache takes for each token; None where the config does not tell.
    size: bytes of the weights on disk.
    """

    architecture: str | None = None
    parameters: int | None = None
    dtype: str | None = None
    context_length: int | None = None
    kv_numbers: int | None = None
    has_chat_template: bool | None = None
    size: int | None = None


def model_facts(path: Path) -> Facts:
    """Of a folder or GGUF file that passed its check."""
    return gguf_facts(path) if path.is_file() else folder_facts(path)


def folder_facts(folder: Path) -> Facts:
    weights = weight_files(folder)
    parameters: Counter[str] = Counter()
    for file in weights:
        parameters.update(read_header(file).parameters)
    return config_facts(
        read_json(folder / CONFIG),
        parameters=parameters.total(),
        dtype=commonest(parameters),
        has_chat_template=has_chat_template(folder),
        size=sum(file.stat().st_size for file in weights),
    )


def config_facts(config: dict[str, Any], **known: Any) -> Facts:
    """What a config.json says, together with what is known from elsewhere."""
    text = config.get("text_config")
    text = text if isinstance(text, dict) else config  # a model that also sees keeps its language part apart
    architectures = config.get("architectures")
    architecture = architectures[0] if isinstance(architectures, list) and architectures else config.get("model_type")
    return Facts(architecture=architecture, context_length=first_int(text, CONTEXT), kv_numbers=kv_numbers(text), **known)


def kv_numbers(config: dict[str, Any]) -> int | None:
    """Keys and values, of every layer and KV head. An upper bound where some layers look back less far."""
    layers, heads, width = first_int(config, LAYERS), first_int(config, HEADS), first_int(config, WIDTH)
    if not (layers and heads and width):
        return None
    kv_heads = first_int(config, ("num_key_value_heads",)) or heads
    return 2 * layers * kv_heads * (first_int(config, HEAD_WIDTH) or width // heads)


def gguf_facts(path: Path) -> Facts:
    header = read_header(path)
    architecture = header.metadata["general.architecture"]

    def value(key: str) -> Any:
        return header.metadata.get(f"{architecture}.{key}")

    return Facts(
        architecture=architecture,
        parameters=header.parameters.total(),
        dtype=commonest(header.parameters),
        context_length=value("context_length"),
        kv_numbers=gguf_kv_numbers(value),
        has_chat_template="tokenizer.chat_template" in header.metadata,
        size=path.stat().st_size,
    )


def gguf_kv_numbers(value: Any) -> int | None:
    layers, heads, width = value("block_count"), value("attention.head_count"), value("embedding_length")
    if not all(isinstance(number, int) and number > 0 for number in (layers, heads, width)):
        return None
    kv_heads = value("attention.head_count_kv") or heads
    total_heads = sum(kv_heads) if isinstance(kv_heads, list) else layers * kv_heads  # a list has a number for each layer
    head_width = width // heads
    return int(total_heads * ((value("attention.key_length") or head_width) + (value("attention.value_length") or head_width)))


def has_chat_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").exists() or (folder / "chat_template.json").exists():
        return True
    config = folder / "tokenizer_config.json"
    return config.exists() and bool(read_json(config).get("chat_template"))


def first_int(config: dict[str, Any], names: tuple[str, ...]) -> int | None:
    return next((config[name] for name in names if isinstance(config.get(name), int) and config[name] > 0), None)


def commonest(parameters: Counter[str]) -> str | None:
    return next((DTYPES.get(name, name) for name, _ in parameters.most_common(1)), None)

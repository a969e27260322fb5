"""Small files in the formats of real models, whole or spoilt as a test wants them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 5,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "max_position_embeddings": 512,
}
LLAMA_GGUF: dict[str, str | int] = {"general.architecture": "llama", "tokenizer.ggml.model": "llama"}


def safetensors_bytes(numbers: int = 1000, filler: bytes = b"\x01") -> bytes:
    """One float32 tensor."""
    tensors = {"weight": {"dtype": "F32", "shape": [numbers], "data_offsets": [0, 4 * numbers]}}
    header = json.dumps(tensors).encode()
    return struct.pack("<Q", len(header)) + header + filler * 4 * numbers


def gguf_bytes(metadata: dict[str, str | int], numbers: int = 0) -> bytes:
    """A GGUF file with one float32 tensor, or none."""
    tensors = text("weight") + struct.pack("<IQIQ", 1, numbers, 0, 0) if numbers else b""
    pairs = b"".join(text(key) + gguf_value(value) for key, value in metadata.items())
    head = b"GGUF" + struct.pack("<IQQ", 3, 1 if numbers else 0, len(metadata)) + pairs + tensors
    return head + b"\0" * (-len(head) % 32) + b"\x01" * 4 * numbers


def gguf_value(value: str | int) -> bytes:
    return struct.pack("<I", 8) + text(value) if isinstance(value, str) else struct.pack("<II", 4, value)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def model_files(numbers: int = 1000, **config: Any) -> dict[str, bytes]:
    """The files of a model's folder; config entries override, None takes one out."""
    merged = {key: value for key, value in (LLAMA | config).items() if value is not None}
    return {
        "config.json": json.dumps(merged).encode(),
        "tokenizer.json": b"{}",
        "model.safetensors": safetensors_bytes(numbers),
    }


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder

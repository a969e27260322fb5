"""What safetensors and GGUF files say about themselves, read from their first bytes.

Knows the two file formats; knows nothing of models or messages. A file that lies about its sizes costs no more
than what is really there: every length is held against the end of the file before it is used.
Formats: github.com/huggingface/safetensors#format and github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import json
import math
import mmap
import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAX_SAFETENSORS_HEADER = 100_000_000  # the limit of the safetensors library
GGUF_MAGIC = b"GGUF"
GGUF_VERSIONS = (2, 3)
GGUF_STRING, GGUF_ARRAY = 8, 9
GGUF_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
MAX_ARRAY_KEPT = 4096  # one number a layer is worth keeping, a vocabulary is not


class DamagedFileError(ValueError):
    """The bytes are not what the format promises; the message says how."""


@dataclass(frozen=True)
class Header:
    """parameters: how many numbers there are of each type, under the format's own names ("BF16", "Q8_0").

    metadata: the format's key-value pairs; of GGUF's arrays only short ones of numbers.  shapes: of the tensors, by
    name, as torch counts them (the slowest dimension first).
    """

    parameters: Counter[str] = field(default_factory=Counter)
    metadata: dict[str, Any] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)


def read_safetensors_header(path: Path) -> Header:
    """Raises: DamagedFileError for a file that is cut short or no safetensors; OSError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        if len(prefix) < 8:
            raise DamagedFileError(f"it has {size} bytes")
        (length,) = struct.unpack("<Q", prefix)
        if length > min(MAX_SAFETENSORS_HEADER, size - 8):
            raise DamagedFileError(f"its header would be {length} bytes long")
        raw = file.read(length)
    try:
        tensors = json.loads(raw)
        metadata = tensors.pop("__metadata__", {})
        parameters: Counter[str] = Counter()
        for tensor in tensors.values():
            parameters[tensor["dtype"]] += math.prod(tensor["shape"])
        end = max((int(tensor["data_offsets"][1]) for tensor in tensors.values()), default=0)
        shapes = {name: tuple(map(int, tensor["shape"])) for name, tensor in tensors.items()}
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError):
        raise DamagedFileError("its header is not what safetensors prescribes") from None
    if 8 + length + end > size:
        raise DamagedFileError(f"it should have {8 + length + end} bytes and has {size}")
    return Header(parameters, metadata, shapes)


def read_gguf_header(path: Path) -> Header:
    """Raises: DamagedFileError for a file that is cut short or no GGUF; OSError."""
    with path.open("rb") as file:
        if file.read(4) != GGUF_MAGIC:
            raise DamagedFileError("it does not begin as a GGUF file does")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return GGUFReader(data).header()


class GGUFReader:
    """Walks through the bytes of a GGUF file, little-endian."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at = data, 4

    def header(self) -> Header:
        version = self.scalar("I")
        if version not in GGUF_VERSIONS:
            raise DamagedFileError(f"its GGUF version is {version}; known are {', '.join(map(str, GGUF_VERSIONS))}")
        tensor_count, key_count = self.scalar("Q"), self.scalar("Q")
        metadata = {}
        for _ in range(key_count):
            key = self.string()
            value = self.value(self.scalar("I"))
            if value is not None:
                metadata[key] = value
        parameters, shapes, end = self.tensors(tensor_count)
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1:
            raise DamagedFileError(f"its alignment is {alignment!r}")
        total = math.ceil(self.at / alignment) * alignment + end
        if tensor_count and total > len(self.data):
            raise DamagedFileError(f"it should have {total} bytes and has {len(self.data)}")
        return Header(parameters, metadata, shapes)

    def tensors(self, count: int) -> tuple[Counter[str], dict[str, tuple[int, ...]], int]:
        """Parameters by type, shapes by name, and where the last tensor ends, in bytes from the start of the tensor data."""
        parameters: Counter[str] = Counter()
        shapes = {}
        end = 0
        for _ in range(count):
            tensor = self.string()
            shape = [self.scalar("Q") for _ in range(self.scalar("I"))]
            shapes[tensor] = tuple(reversed(shape))  # the file begins with the fastest dimension
            kind, offset = self.scalar("I"), self.scalar("Q")
            name, size = tensor_type(kind, math.prod(shape))
            parameters[name] += math.prod(shape)
            end = max(end, offset + size)
        return parameters, shapes, end

    def value(self, kind: int) -> Any:
        """A key's value; None for a long array."""
        if kind in GGUF_SCALARS:
            return self.scalar(GGUF_SCALARS[kind])
        if kind == GGUF_STRING:
            return self.string()
        if kind != GGUF_ARRAY:
            raise DamagedFileError(f"it has a value of the unknown type {kind}")
        kind, count = self.scalar("I"), self.scalar("Q")
        if kind == GGUF_STRING:
            for _ in range(count):
                self.take(self.scalar("Q"))
            return None
        if kind not in GGUF_SCALARS:
            raise DamagedFileError(f"it has an array of the unknown type {kind}")
        raw = self.take(count * struct.calcsize(GGUF_SCALARS[kind]))
        return list(struct.unpack(f"<{count}{GGUF_SCALARS[kind]}", raw)) if count <= MAX_ARRAY_KEPT else None

    def scalar(self, code: str) -> Any:
        return struct.unpack(f"<{code}", self.take(struct.calcsize(code)))[0]

    def string(self) -> str:
        return self.take(self.scalar("Q")).decode("utf-8", "replace")

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise DamagedFileError(f"it ends in the middle of its header, after {len(self.data)} bytes")
        self.at += size
        return self.data[self.at - size : self.at]


def tensor_type(kind: int, count: int) -> tuple[str, int]:
    """A ggml type's name, and the bytes that so many numbers of it take (0 for a type newer than our table)."""
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    try:
        name = GGMLQuantizationType(kind)
    except ValueError:
        return f"type {kind}", 0
    block, size = GGML_QUANT_SIZES[name]
    return name.name, count // block * size

"""Tells whether a model's files are still the same."""

from __future__ import annotations

import hashlib
import re
from fnmatch import fnmatch
from pathlib import Path

from aigc_cli.store.manifest import sha256_of

DECISIVE = (
    *("*.safetensors", "*.gguf", "*.bin", "*.pt", "*.pth", "config.json", "adapter_config.json"),
    *("tokenizer*", "vocab*", "merges.txt", "*.model", "special_tokens_map.json", "added_tokens.json", "chat_template*"),
)
CONTENT_ADDRESS = re.compile(r"[0-9a-f]{64}")


def fingerprint(*paths: Path) -> str:
    """A hash of weights, configs and tokenizers: files as they are, folders by those files that decide what a model does.

    It depends on names and contents, not on where they lie. All is read, but for what the Hugging Face cache keeps
    under its own sha256. Raises: OSError.
    """
    found = hashlib.sha256()
    for path in paths:
        for file in decisive_files(path):
            found.update(f"{file.name}\0{content_hash(file)}\n".encode("utf-8", "surrogateescape"))
    return found.hexdigest()


def decisive_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.iterdir() if file.is_file() and any(fnmatch(file.name, pattern) for pattern in DECISIVE))


def content_hash(path: Path) -> str:
    target = path.resolve()
    if path.is_symlink() and target.parent.name == "blobs" and CONTENT_ADDRESS.fullmatch(target.name):
        return target.name
    return sha256_of(path)

"""How a result of training wants to be used, in a small file beside its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from aigc_cli.atomic_file import replace_file
from aigc_cli.core.errors import ModelError
from aigc_cli.models.check import read_json

USAGE = "aigc.json"


def read_mode(folder: Path) -> Literal["chat", "raw"] | None:
    """What a model or adapter was trained for; None for a folder that does not say. Raises: ModelError for a damaged file."""
    path = folder / USAGE
    if not path.is_file():
        return None
    mode = read_json(path).get("mode")
    if mode not in ("chat", "raw"):
        raise ModelError(f"{path}: the mode is chat or raw, not {mode!r}", "mend the file, or delete it: then the chat template decides")
    return "chat" if mode == "chat" else "raw"


def read_revision(folder: Path) -> str | None:
    """The Hub commit of the model that an adapter was trained on, where it says so. Raises: ModelError for a damaged file."""
    path = folder / USAGE
    revision = read_json(path).get("revision") if path.is_file() else None
    return revision if isinstance(revision, str) else None


def write_mode(folder: Path, mode: Literal["chat", "raw"]) -> None:
    """Raises: OSError."""
    replace_file(folder / USAGE, (json.dumps({"mode": mode}) + "\n").encode())

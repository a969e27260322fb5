"""Which kind of model lies at a path, and the check that is right for it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from aigc_cli.core.errors import ModelError
from aigc_cli.models.check import CONFIG, PIPELINE_INDEX, check_model, read_header, read_json
from aigc_cli.models.check_image import check_image_model
from aigc_cli.models.checkpoints import identify_checkpoint
from aigc_cli.models.hub_cache import CachedModel, model_path
from aigc_cli.models.names import HubId
from aigc_cli.models.resolve_clip import check_clip

Modality = Literal["text", "image", "clip"]


def modality(path: Path) -> Modality:
    """What a folder or file seems to hold; whether it can be loaded is another question. Raises: ModelError for a damaged file."""
    if path.is_dir():
        if (path / PIPELINE_INDEX).exists():
            return "image"
        return "clip" if (path / CONFIG).exists() and read_json(path / CONFIG).get("model_type") == "clip" else "text"
    if path.suffix.lower() == ".safetensors":  # weights that stand for their folder are a language model's
        return "text" if (path.parent / CONFIG).exists() else "image"
    return "image" if path.suffix.lower() == ".gguf" and identify_checkpoint(read_header(path).shapes) else "text"


def check_any(path: Path) -> Path:
    """What to load of a model that is whole and can be loaded, whatever its kind. Raises: ModelError."""
    match modality(path):
        case "image":
            return check_image_model(path)[1]
        case "clip":
            check_clip(path)
            return path
        case "text":
            return check_model(path)[1]


def cached_modality(model: CachedModel) -> Modality | None:
    """What the newest download of a repository seems to hold; None where it cannot be told."""
    for commit in model.commits:
        try:
            return modality(model_path(model.path / "snapshots" / commit, HubId(model.repo)))
        except ModelError:
            continue
    return None

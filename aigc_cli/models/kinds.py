"""Which kind of model lies at a path, and the check that is right for it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from aigc_cli.core.errors import ModelError
from aigc_cli.models.catalogue import Builtin
from aigc_cli.models.check import CONFIG, PIPELINE_INDEX, check_model, read_header, read_json
from aigc_cli.models.check_image import check_image_model
from aigc_cli.models.checkpoints import identify_checkpoint
from aigc_cli.models.hub_cache import CachedModel, cached_models, model_path
from aigc_cli.models.names import HubId, RemoteName, identify
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


def named_modality(name: str) -> Modality | None:
    """What a model's name stands for, as far as that is known here; None where it is not, or the name is nobody's."""
    try:
        target = identify(name)
        match target:
            case Builtin():
                return target.modality
            case RemoteName():
                return "text"
            case HubId():
                return target.entry.modality if target.entry else of_cached(target)
            case Path():
                return modality(target) if target.is_file() or holds_model(target) else None
    except ModelError:
        return None


def of_cached(hub_id: HubId) -> Modality | None:
    return next((cached_modality(model) for model in cached_models() if model.repo.casefold() == hub_id.repo.casefold()), None)


def holds_model(folder: Path) -> bool:
    return any((folder / name).exists() for name in (PIPELINE_INDEX, CONFIG))


def refuse_other_modality(name: str, wanted: Literal["text", "image"], hint: str) -> None:
    """Before anything is read. hint: what to do with such a model, its name in place of {name}. Raises: ModelError."""
    if named_modality(name) in {"text", "image"} - {wanted}:
        what, has = ("an image model", "a language model") if wanted == "image" else ("a language model", "an image model")
        raise ModelError(f"{name} is {has}, not {what}", hint.format(name=name))


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

"""The name of a CLIP that scores pictures -> the folder where its weights lie, downloaded and looked at where need be."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aigc_cli.core.engine import Confirm
from aigc_cli.core.errors import ModelError
from aigc_cli.core.events import Event
from aigc_cli.models.catalogue import Builtin
from aigc_cli.models.check import CONFIG, check_tokenizer, read_header, read_json, weight_files
from aigc_cli.models.hub_cache import cached_model
from aigc_cli.models.names import HubId, RemoteName, identify

if TYPE_CHECKING:
    from aigc_cli.models.hub_api import RemoteModel

CLIP = "clip"  # what users call the usual one
USUAL = HubId("openai/clip-vit-large-patch14")  # the smaller clip-vit-base-patch32 has its weights only as a pickle
IMAGE_PROCESSORS = ("preprocessor_config.json", "processor_config.json")
NAME_ONE = f"name a folder or a Hub id with a CLIP, or {CLIP} for {USUAL}"


def resolve_clip(name: str, *, assume_yes: bool = False, confirm: Confirm | None = None) -> Generator[Event, None, Path]:
    """The folder of a CLIP: `clip` for the usual one, a folder, or a Hub id. Yields the progress of a download.

    assume_yes: download without a question.  confirm: asks before a large download; None: there is nobody to ask.
    Raises: ModelError for what is no CLIP, cannot be had, or cannot be loaded.
    """
    if name == CLIP:
        return (yield from usual_folder(assume_yes, confirm))
    match identify(name):
        case HubId() as hub_id:
            return (yield from hub_folder(hub_id, assume_yes, confirm))
        case Path() as path:
            check_clip(path)
            return path
        case Builtin() | RemoteName():
            raise ModelError(f"{name} is no CLIP", NAME_ONE)


def usual_folder(assume_yes: bool, confirm: Confirm | None) -> Generator[Event, None, Path]:
    """Nobody has named it, so an error says what it is for. Raises: as resolve_clip."""
    try:
        return (yield from hub_folder(USUAL, assume_yes, confirm))
    except ModelError as error:
        hint = f"name a CLIP that is on this machine: --score FOLDER; else {error.hint}"
        raise ModelError(f"scores need a CLIP model: {error.message}", hint) from error


def hub_folder(hub_id: HubId, assume_yes: bool, confirm: Confirm | None) -> Generator[Event, None, Path]:
    if hub_id.entry:
        kind = "an image model" if hub_id.entry.modality == "image" else "a language model"
        raise ModelError(f"{hub_id} is {kind}, not a CLIP", NAME_ONE)
    path = cached_model(hub_id, check_clip)
    if path is None:  # a model that is here as a whole runs without asking the network
        from aigc_cli.models.hub import fetch

        path = yield from fetch(hub_id, assume_yes=assume_yes, confirm=confirm, check=check_clip, look=look_for_clip)
        check_clip(path)
    return path


def look_for_clip(model: RemoteModel) -> None:
    """Raises: ModelError for a repository without a CLIP, before anything large is downloaded."""
    from aigc_cli.models.hub_api import remote_json

    is_folder = any(file.name == CONFIG for file in model.files)
    check_type(remote_json(model.id, model.commit, CONFIG) if is_folder else {}, model.id)


def check_clip(folder: Path) -> None:
    """Raises: ModelError unless transformers could load a CLIP, its tokenizer and its image processor from here."""
    if not folder.is_dir():
        raise ModelError(f"{folder} is a file, not the folder of a CLIP", NAME_ONE)
    if not (folder / CONFIG).exists():
        raise ModelError(f"{folder} holds no CLIP: it has no {CONFIG}", NAME_ONE)
    check_type(read_json(folder / CONFIG), folder)
    for file in weight_files(folder):
        read_header(file)
    check_tokenizer(folder)
    if not any((folder / name).exists() for name in IMAGE_PROCESSORS):
        raise ModelError(f"{folder} has no {IMAGE_PROCESSORS[0]}", "copy it from where the model came from")


def check_type(config: dict[str, Any], holder: Path | HubId) -> None:
    """Text and image towers alone have types of their own. Raises: ModelError."""
    kind = config.get("model_type")
    if kind != "clip":
        raise ModelError(f"{holder} holds no CLIP" + (f", but a model of type {kind}" if kind else ""), NAME_ONE)

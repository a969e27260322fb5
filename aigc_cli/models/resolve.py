"""A model's name -> where its weights lie, downloaded and looked at where need be."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from aigc_cli.core.engine import Confirm, ModelSource
from aigc_cli.core.errors import ModelError
from aigc_cli.core.events import Event
from aigc_cli.models.catalogue import Builtin
from aigc_cli.models.check import PIPELINE_INDEX, check_model
from aigc_cli.models.hub_cache import cached_model
from aigc_cli.models.names import HubId, RemoteName, identify
from aigc_cli.models.usage import read_mode

if TYPE_CHECKING:
    from aigc_cli.models.hub_api import RemoteModel


def resolve(name: str, *, assume_yes: bool = False, confirm: Confirm | None = None) -> Generator[Event, None, ModelSource]:
    """The source of a language model. Yields the progress of a download.

    assume_yes: download without a question.  confirm: asks before a large download; None: there is nobody to ask.
    Raises: ModelError for a name that is unknown, a model that cannot be had, or one that cannot be loaded.
    """
    match identify(name):
        case RemoteName() as remote:
            return ModelSource(name=str(remote), kind="openai")
        case Builtin() as builtin:
            return builtin_source(builtin)
        case HubId() as hub_id:
            return (yield from hub_source(name, hub_id, assume_yes, confirm))
        case Path() as path:
            kind, path = check_model(path)
            return ModelSource(name=name, kind=kind, path=path, mode=read_mode(path) if kind == "folder" else None)


def builtin_source(builtin: Builtin) -> ModelSource:
    if builtin.modality == "image":
        raise ModelError(f"{builtin.name} is an image model: it writes no text", "name a language model; see: aigc models list")
    kind, path = check_model(builtin.folder())
    return ModelSource(name=builtin.name, kind=kind, path=path, mode=builtin.mode)


def hub_source(name: str, hub_id: HubId, assume_yes: bool, confirm: Confirm | None) -> Generator[Event, None, ModelSource]:
    entry = hub_id.entry
    if entry and entry.modality == "image":
        raise ModelError(f"{name} is an image model: it writes no text", "name a language model; see: aigc models list")
    path = cached_model(hub_id)
    if path is None:  # a model that is here as a whole runs without asking the network
        from aigc_cli.models.hub import fetch

        path = yield from fetch(hub_id, assume_yes=assume_yes, confirm=confirm, look=look_for_text)
    kind, path = check_model(path)
    commit = (path if kind == "folder" else path.parent).name
    return ModelSource(name=name, kind=kind, path=path, revision=commit, repo=hub_id.repo, mode=entry.mode if entry else None)


def look_for_text(model: RemoteModel) -> None:
    """Raises: ModelError for an image model, before anything large is downloaded."""
    if any(file.name == PIPELINE_INDEX for file in model.files):
        raise ModelError(f"{model.id} is an image model: it writes no text", "name a language model; see: aigc models list")
    if model.id.file and model.id.file.endswith(".safetensors"):
        raise ModelError(f"{model.id} is one file, and a language model needs its config too", f"name the repository: {model.id.repo}")

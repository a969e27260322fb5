"""The name of an image model -> where its weights lie, downloaded and looked at where need be."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aigc_cli.core.engine import Confirm, ModelSource
from aigc_cli.core.errors import ModelError
from aigc_cli.core.events import Caution, Event
from aigc_cli.models.catalogue import Builtin
from aigc_cli.models.check import CONFIG, PIPELINE_INDEX, read_header
from aigc_cli.models.check_image import check_image_model
from aigc_cli.models.checkpoints import Checkpoint, identify_checkpoint
from aigc_cli.models.hub_cache import cached_model, snapshot_folder
from aigc_cli.models.names import HubId, RemoteName, identify

if TYPE_CHECKING:
    from aigc_cli.models.hub_api import RemoteModel

DRAWS = "name an image model; see: aigc models list"


def resolve_image(name: str, *, assume_yes: bool = False, confirm: Confirm | None = None) -> Generator[Event, None, ModelSource]:
    """The source of an image model. Yields the progress of a download.

    assume_yes: download without a question.  confirm: asks before a large download; None: there is nobody to ask.
    Raises: ModelError for a name that is unknown, a model that cannot be had, or one that cannot be loaded.
    """
    match identify(name):
        case RemoteName():
            raise ModelError(f"{name} is a language model behind an endpoint: it draws no pictures", DRAWS)
        case Builtin() as builtin:
            if builtin.modality != "image":
                raise ModelError(f"{name} is a language model: it draws no pictures", DRAWS)
            source = source_at(name, builtin.folder())
        case HubId() as hub_id:
            source = yield from hub_source(name, hub_id, assume_yes, confirm)
        case Path() as path:
            source = source_at(name, path)
    return (yield from with_base(source)) if source.kind != "diffusers" else source


def source_at(name: str, path: Path) -> ModelSource:
    kind, path = check_image_model(path)
    return ModelSource(name=name, kind=kind, path=path)


def hub_source(name: str, hub_id: HubId, assume_yes: bool, confirm: Confirm | None) -> Generator[Event, None, ModelSource]:
    if hub_id.entry and hub_id.entry.modality != "image":
        raise ModelError(f"{name} is a language model: it draws no pictures", DRAWS)
    path = cached_model(hub_id, check_image_model)
    if path is None:  # a model that is here as a whole runs without asking the network
        from aigc_cli.models.hub import fetch

        path = yield from fetch(hub_id, assume_yes=assume_yes, confirm=confirm, check=check_image_model, look=look_for_pictures)
    source = source_at(name, path)
    return replace(source, revision=(path if path.is_dir() else path.parent).name, repo=hub_id.repo)


def look_for_pictures(model: RemoteModel) -> None:
    """Raises: ModelError for another kind of model, before anything large is downloaded."""
    if any(file.name == CONFIG for file in model.files):  # a pipeline has an index in its place
        raise ModelError(f"{model.id} holds no image model: it has no {PIPELINE_INDEX}", DRAWS)


def with_base(source: ModelSource) -> Generator[Event, None, ModelSource]:
    """A single file, with the folder that has what it lacks: configs and tokenizers, or all but the denoiser.

    Raises: ModelError where there is none.
    """
    assert source.path is not None
    checkpoint = identify_checkpoint(read_header(source.path).shapes)
    assert checkpoint is not None  # or it would not have passed its check
    base = folder_beside(source.path)
    if base is None:
        base = (yield from fetched_configs(checkpoint)) if checkpoint.is_whole else cached_pipeline(source.path, checkpoint)
    if not checkpoint.is_whole:
        check_image_model(base)
    return replace(source, base=base)


def folder_beside(path: Path) -> Path | None:
    """The pipeline in whose folder the file lies, or one below."""
    return next((folder for folder in (path.parent, path.parent.parent) if (folder / PIPELINE_INDEX).exists()), None)


def cached_pipeline(path: Path, checkpoint: Checkpoint) -> Path:
    if folder := cached_model(HubId(checkpoint.repo), check_image_model):
        return folder
    hint = (
        f"fetch the rest (aigc models pull {checkpoint.repo}), or put the file into the folder of such a model, beside its {PIPELINE_INDEX}"
    )
    raise ModelError(f"{path} is only the denoiser of {checkpoint.family}: it has no text encoder and no VAE", hint)


def fetched_configs(checkpoint: Checkpoint) -> Generator[Event, None, Path]:
    """The folder in the cache with the configs and tokenizers of this family; fetched, a few MB, where they are not there yet."""
    hub_id = HubId(checkpoint.repo)
    folder = snapshot_folder(hub_id)
    if folder and (folder / PIPELINE_INDEX).exists():
        return folder
    from aigc_cli.models.hub import is_offline
    from aigc_cli.models.hub_api import inspect
    from aigc_cli.models.hub_download import download

    if is_offline():
        hint = f"unset HF_HUB_OFFLINE once, or put the file into the folder of such a model, beside its {PIPELINE_INDEX}"
        raise ModelError(f"a file of {checkpoint.family} needs the configs and tokenizers of {checkpoint.repo}, which are not here", hint)
    model = inspect(hub_id)
    configs = replace(model, files=tuple(file for file in model.files if not file.name.endswith(".safetensors")))
    if configs.bytes_to_come():
        yield Caution(message=f"the file has no configs and tokenizers: they come from {checkpoint.repo} ({configs.size / 1e6:.1f} MB)")
    return (yield from download(configs))

"""Gets a model from the Hugging Face Hub, if it is not here yet and the user and the disk allow."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from huggingface_hub import constants

from aigc_cli.core.engine import Confirm
from aigc_cli.core.errors import ModelError
from aigc_cli.core.events import Caution, Event
from aigc_cli.core.units import format_size
from aigc_cli.installation import hub_cache
from aigc_cli.models.check import check_model
from aigc_cli.models.hub_api import RemoteModel, inspect
from aigc_cli.models.hub_cache import Check, cached_model, snapshot_folder
from aigc_cli.models.hub_download import download
from aigc_cli.models.names import HubId

ASK_ABOVE = 10**9  # bytes
Look = Callable[[RemoteModel], None]  # raises ModelError for a repository of another kind


def fetch(
    hub_id: HubId, *, assume_yes: bool = False, confirm: Confirm | None = None, check: Check = check_model, look: Look | None = None
) -> Generator[Event, None, Path]:
    """The newest commit of the model's revision: its folder or single file in the cache, downloaded as far as need be.

    check: tells, without a network, whether what is here is the whole model.  look: at what the Hub has, before a download.
    Raises: ModelError for what the Hub does not give, a disk that is too small, or a user who declines.
    """
    if is_offline():
        return (yield from fetch_offline(hub_id, check))
    model = inspect(hub_id)
    if look:
        look(model)
    if model.bytes_to_come():
        yield from announce(model, assume_yes, confirm)
    return (yield from download(model))


def fetch_offline(hub_id: HubId, check: Check) -> Generator[Event, None, Path]:
    if path := cached_model(hub_id, check):
        yield Caution(message=f"HF_HUB_OFFLINE is set: {hub_id} stays as it is in the cache")
        return path
    state = "only in part" if snapshot_folder(hub_id) else "not"
    hint = "unset HF_HUB_OFFLINE; what is here: aigc models list"
    raise ModelError(f"{hub_id} is {state} in the cache, and HF_HUB_OFFLINE forbids a download", hint)


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids to ask the network."""
    return constants.is_offline_mode()


def announce(model: RemoteModel, assume_yes: bool, confirm: Confirm | None) -> Iterator[Event]:
    """Says what a download takes and what the disk has; asks where it is large. Raises: ModelError."""
    size, free = model.bytes_to_come(), free_disk(hub_cache())
    licence = f" (licence {model.licence})" if model.licence else ""
    need = f"{model.id}{licence}: {format_size(size)} to download, {format_size(free)} free in {hub_cache()}"
    if size > free:
        raise ModelError(f"the disk is too small for {need}", "make room (aigc models rm NAME), or set HF_HOME to a folder on another disk")
    if size <= ASK_ABOVE or assume_yes or confirm is None:
        yield Caution(message=need)
    elif not confirm(f"{need}. Download?"):
        raise ModelError(f"{model.id} was not downloaded", "a smaller one: aigc models list")


def free_disk(folder: Path) -> int:
    """Bytes free where this folder is, or will be."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free

"""The Hugging Face cache on this disk: which models are there, whole or in part, and how to remove one.

The layout is huggingface_hub's: models--ORG--NAME/{refs,blobs,snapshots}, a snapshot for each commit.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aigc_cli.core.errors import AigcError, ModelError
from aigc_cli.installation import hub_cache
from aigc_cli.models.check import CONFIG, PIPELINE_INDEX, WEIGHT_SUFFIXES, check_model
from aigc_cli.models.names import HubId

COMMIT = re.compile(r"[0-9a-f]{40}")
Check = Callable[[Path], object]  # raises ModelError for what is no whole model


@dataclass(frozen=True)
class CachedModel:
    """size: bytes on disk, of unfinished downloads too.  commits: the revisions that are there.

    is_whole: it has weights, and no download of it was cut; whether they can be loaded is not looked at.
    """

    repo: str
    path: Path
    size: int
    commits: tuple[str, ...]
    is_whole: bool


def repo_folder(repo: str) -> Path:
    return hub_cache() / ("models--" + repo.replace("/", "--"))


def snapshot_folder(hub_id: HubId) -> Path | None:
    """Where the files of this revision lie, as far as they are here."""
    folder = repo_folder(hub_id.repo)
    try:
        commit = hub_id.revision if COMMIT.fullmatch(hub_id.revision) else (folder / "refs" / hub_id.revision).read_text().strip()
    except OSError:
        return None
    snapshot = folder / "snapshots" / commit
    return snapshot if COMMIT.fullmatch(commit) and snapshot.is_dir() else None


def cached_model(hub_id: HubId, check: Check = check_model) -> Path | None:
    """The folder or file of a model that is here as a whole, as its check says."""
    snapshot = snapshot_folder(hub_id)
    if snapshot is None:
        return None
    path = model_path(snapshot, hub_id)
    try:
        check(path)
    except ModelError:
        return None
    return path


def model_path(snapshot: Path, hub_id: HubId) -> Path:
    """What to load from a snapshot: the GGUF file that was named, the only one there is, or the folder."""
    if hub_id.file:
        return snapshot / hub_id.file
    ggufs = list(snapshot.glob("*.gguf"))
    is_folder = (snapshot / CONFIG).exists() or (snapshot / PIPELINE_INDEX).exists()
    return ggufs[0] if len(ggufs) == 1 and not is_folder else snapshot


def remember_revision(hub_id: HubId, commit: str) -> None:
    """Notes which commit a branch or tag stood for, so that the model is found without the network."""
    if not COMMIT.fullmatch(hub_id.revision):
        ref = repo_folder(hub_id.repo) / "refs" / hub_id.revision
        if not ref.exists() or ref.read_text() != commit:  # a cache may be read-only
            ref.parent.mkdir(parents=True, exist_ok=True)
            ref.write_text(commit)


def cached_models() -> list[CachedModel]:
    """All models in the cache, by name."""
    if not hub_cache().is_dir():
        return []
    from huggingface_hub import scan_cache_dir

    cache = hub_cache().resolve()  # as the scan names what it finds
    found = scan_cache_dir(cache)
    whole = {repo.repo_path: repo for repo in found.repos}
    models = []
    for folder in sorted(cache.glob("models--*--*"), key=lambda folder: folder.name.casefold()):
        unfinished = sum(file.size_on_disk for file in found.incomplete_files if folder in file.file_path.parents)
        repo = whole.get(folder)
        revisions = repo.revisions if repo else ()
        has_weights = any(file.file_name.endswith(WEIGHT_SUFFIXES) for revision in revisions for file in revision.files)
        size = (repo.size_on_disk if repo else 0) + unfinished
        name = folder.name.removeprefix("models--").replace("--", "/", 1)
        if size:
            commits = tuple(revision.commit_hash for revision in revisions)
            models.append(CachedModel(name, folder, size, commits, has_weights and not unfinished))
    return models


def remove(model: CachedModel) -> None:
    """Deletes all revisions of a model. Raises: AigcError when the disk refuses."""
    from huggingface_hub import scan_cache_dir

    scan_cache_dir(hub_cache()).delete_revisions(*model.commits).execute()  # it knows which blobs others share
    try:
        if model.path.exists():  # what is left of an unfinished download
            shutil.rmtree(model.path)
    except OSError as error:
        raise AigcError(f"{model.path} cannot be deleted: {error.strerror or error}", "check who owns it") from error
    shutil.rmtree(hub_cache() / ".locks" / model.path.name, ignore_errors=True)

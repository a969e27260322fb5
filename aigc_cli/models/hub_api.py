"""What a repository on the Hugging Face Hub holds, asked without downloading its weights."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, get_session, hf_hub_url
from huggingface_hub.utils import build_hf_headers, disable_progress_bars, hf_raise_for_status  # type: ignore[attr-defined]

from aigc_cli.core.errors import ModelError
from aigc_cli.models.check import CONFIG, PIPELINE_INDEX
from aigc_cli.models.facts import Facts, config_facts
from aigc_cli.models.hub_cache import COMMIT, repo_folder
from aigc_cli.models.hub_errors import NOT_A_HUB, translated
from aigc_cli.models.names import HubId
from aigc_cli.models.repo_files import choose_files

TIMEOUT = 15.0  # seconds without a byte
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class RemoteFile:
    """sha256: known for files in large-file storage, and then the name of the file's blob in the cache."""

    name: str
    size: int
    sha256: str | None = None


@dataclass(frozen=True)
class RemoteModel:
    """A revision of a repository, pinned to its commit, and the files of it that loading needs.

    parameters: as the Hub counted them in the files' headers; None where it did not.  architecture: as a GGUF file says.
    """

    id: HubId
    commit: str
    files: tuple[RemoteFile, ...]
    licence: str | None = None
    parameters: int | None = None
    architecture: str | None = None

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def snapshot(self) -> Path:
        return repo_folder(self.id.repo) / "snapshots" / self.commit

    def blob(self, file: RemoteFile) -> Path:
        return repo_folder(self.id.repo) / "blobs" / str(file.sha256)

    def partial(self, file: RemoteFile) -> Path:
        return self.blob(file).with_name(f"{file.sha256}.incomplete")

    def is_here(self, file: RemoteFile) -> bool:
        path = self.snapshot / file.name
        return path.exists() and path.stat().st_size == file.size

    def bytes_to_come(self) -> int:
        return sum(file.size - self.bytes_here(file) for file in self.files)

    def bytes_here(self, file: RemoteFile) -> int:
        """Of this file, also in a download that was cut."""
        if self.is_here(file):
            return file.size
        if not file.sha256:
            return 0
        return next((min(path.stat().st_size, file.size) for path in (self.blob(file), self.partial(file)) if path.exists()), 0)


def inspect(hub_id: HubId) -> RemoteModel:
    """Asks the Hub what this revision holds. Raises: ModelError."""
    be_quiet()
    with translated(hub_id):
        try:
            info = HfApi().model_info(hub_id.repo, revision=hub_id.revision, files_metadata=True, timeout=TIMEOUT)
            found = {file.name: file for sibling in info.siblings or () if (file := remote_file(sibling))}
        except (ValueError, TypeError, KeyError) as error:
            raise ModelError(f"{constants.ENDPOINT} does not answer as the Hub does", NOT_A_HUB) from error
    if not COMMIT.fullmatch(info.sha or ""):
        raise ModelError(f"{constants.ENDPOINT} does not say which commit {hub_id} is", NOT_A_HUB)
    index = remote_json(hub_id, str(info.sha), PIPELINE_INDEX) if PIPELINE_INDEX in found and not hub_id.file else None
    files = tuple(found[name] for name in choose_files(hub_id.repo, found, hub_id.file, index))
    licence = info.card_data.get("license") if info.card_data else None
    gguf = info.gguf or {}
    parameters = info.safetensors.total if info.safetensors else gguf.get("total")
    return RemoteModel(hub_id, str(info.sha), files, licence, parameters, gguf.get("architecture"))


def be_quiet() -> None:
    """The library's own bars and remarks would mix with ours on stderr."""
    disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)


def remote_file(sibling: Any) -> RemoteFile | None:
    """None for a file of unknown size."""
    sha256 = sibling.lfs.sha256 if sibling.lfs else None
    if sibling.size is None or (sha256 and not SHA256.fullmatch(sha256)):
        return None
    return RemoteFile(sibling.rfilename, sibling.size, sha256)


def remote_facts(model: RemoteModel) -> Facts:
    """What the Hub and the model's config say, without its weights. Raises: ModelError."""
    size = sum(file.size for file in model.files if file.name.endswith((".safetensors", ".gguf")))
    if all(file.name != CONFIG for file in model.files):
        return Facts(architecture=model.architecture, parameters=model.parameters, size=size)
    return config_facts(remote_json(model.id, model.commit, CONFIG), parameters=model.parameters, size=size)


def remote_json(hub_id: HubId, commit: str, name: str) -> dict[str, Any]:
    """One of a repository's small files. Raises: ModelError."""
    url = hf_hub_url(hub_id.repo, name, revision=commit)
    with translated(hub_id):
        try:
            response = get_session().get(url, headers=build_hf_headers(), timeout=TIMEOUT)
            hf_raise_for_status(response)
            return dict(response.json())
        except (ValueError, TypeError) as error:
            raise ModelError(f"the {name} of {hub_id} is no JSON object", NOT_A_HUB) from error

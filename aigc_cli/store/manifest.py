"""A list of every file in a folder, with size and sha256: by it a whole folder is told from a torn or damaged one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aigc_cli.store.durable import files_below, sync_file, sync_tree

NAME = "manifest.json"
FORMAT = 1


class DamagedError(Exception):
    """What was found is not what was written; the message says where and how."""


@dataclass(frozen=True)
class FileEntry:
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """facts: what the writer wanted to be known of the folder.  files: by their paths within it, with slashes."""

    facts: dict[str, Any]
    files: dict[str, FileEntry]

    @property
    def size(self) -> int:
        return sum(entry.bytes for entry in self.files.values())


def seal(folder: Path, facts: dict[str, Any]) -> None:
    """Makes the folder's files last, and then, last of all, its manifest."""
    sync_tree(folder)
    files = {path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256_of(path)} for path in files_below(folder)}
    body = json.loads(json.dumps({"format": FORMAT, "facts": facts, "files": files}))  # as it will be read: tuples are lists there
    path = folder / NAME
    path.write_text(json.dumps({**body, "sha256": digest(body)}, indent=1), "utf-8")
    sync_file(path)
    sync_tree(folder)


def read_manifest(folder: Path) -> Manifest:
    """Raises: DamagedError, also for a manifest that was changed after it was written."""
    try:
        body = json.loads((folder / NAME).read_text("utf-8"))
        if body.pop("sha256") != digest(body):
            raise DamagedError(f"{NAME} is damaged")
        if body["format"] != FORMAT:
            raise DamagedError(f"{NAME} was written by another version of aigc (format {body['format']})")
        return Manifest(body["facts"], {name: FileEntry(**entry) for name, entry in body["files"].items()})
    except FileNotFoundError:
        raise DamagedError(f"{NAME} is missing") from None
    except OSError as error:
        raise DamagedError(f"{NAME} cannot be read: {(error.strerror or str(error)).lower()}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DamagedError(f"{NAME} is damaged") from None


def check_sizes(folder: Path, manifest: Manifest) -> None:
    """Raises: DamagedError naming the first file that is missing or has another size; reads none of them."""
    for name, entry in manifest.files.items():
        try:
            size = (folder / name).stat().st_size
        except OSError:
            raise DamagedError(f"{name} is missing") from None
        if size != entry.bytes:
            raise DamagedError(f"{name} has {size} bytes, {entry.bytes} were written")


def check_contents(folder: Path, manifest: Manifest) -> None:
    """Raises: DamagedError naming the first file that is not, byte for byte, what was written."""
    check_sizes(folder, manifest)
    for name, entry in manifest.files.items():
        try:
            is_same = sha256_of(folder / name) == entry.sha256
        except OSError as error:
            raise DamagedError(f"{name} cannot be read: {(error.strerror or str(error)).lower()}") from None
        if not is_same:
            raise DamagedError(f"{name} is not what was written: its sha256 differs")


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(body: dict[str, Any]) -> str:
    """Of the manifest itself; the order of its keys and the spaces in it do not matter."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()

"""What a model's name stands for, told from the name alone. Asks no network."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from aigc_cli.core.elision import elided
from aigc_cli.core.engine import OPENAI
from aigc_cli.core.errors import ModelError
from aigc_cli.core.nearest import nearest
from aigc_cli.models.aliases import read_aliases
from aigc_cli.models.catalogue import BUILTINS, Builtin, Entry, catalogue, entry_of
from aigc_cli.models.check import WEIGHT_SUFFIXES

REPOSITORY = r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)"
HUB_ID = re.compile(REPOSITORY + r"(@(?P<revision>[\w.-]+(/[\w.-]+)*))?(:(?P<file>[\w.-]+\.(gguf|safetensors)))?", re.ASCII)


@dataclass(frozen=True)
class HubId:
    """`org/name[@revision][:FILE]`; the file is one of several GGUF files, or an image model's checkpoint (.safetensors)."""

    repo: str
    revision: str = "main"
    file: str | None = None

    def __str__(self) -> str:
        return self.repo + (f"@{self.revision}" if self.revision != "main" else "") + (f":{self.file}" if self.file else "")

    @property
    def entry(self) -> Entry | None:
        return entry_of(self.repo)


@dataclass(frozen=True)
class RemoteName:
    """A model behind an OpenAI-compatible endpoint, as the endpoint calls it."""

    name: str

    def __str__(self) -> str:
        return OPENAI + self.name


Target = Builtin | RemoteName | Path | HubId


def identify(name: str) -> Target:
    """Built-in, the user's alias, the catalogue's, openai:NAME, a path that is there, a Hub id: the first that fits.

    Raises: ModelError for a name that is none of them, with the nearest names.
    """
    name = read_aliases().get(name, name)
    if name in BUILTINS:
        return BUILTINS[name]
    if name in catalogue():
        return HubId(catalogue()[name].id)
    if name.startswith(OPENAI) and name != OPENAI:
        return RemoteName(name.removeprefix(OPENAI))
    path = Path(name).expanduser() if name.startswith("~") else Path(name)
    if name and os.path.exists(path):
        return path
    if looks_like_path(name):
        raise ModelError(f"there is no file or folder {name}", "check the path after -m")
    if hub_id := parse_hub_id(name):
        return hub_id
    raise unknown_name(name)


def is_remote(name: str) -> bool:
    """Whether it stands for a model behind an endpoint. Also of a name that stands for nothing."""
    return read_aliases().get(name, name).startswith(OPENAI)


def parse_hub_id(name: str) -> HubId | None:
    match = HUB_ID.fullmatch(name)
    if not match or ".." in name:
        return None
    return HubId(match["repo"], match["revision"] or "main", match["file"])


def looks_like_path(name: str) -> bool:
    """Whether it can only be meant as a path. `org/name` could be both, and is then taken for a Hub id."""
    if name.startswith((".", "~", "/", os.sep)):
        return True
    if HUB_ID.fullmatch(name) and ":" in name:
        return False
    return name.endswith(WEIGHT_SUFFIXES) or (("/" in name or os.sep in name) and not HUB_ID.fullmatch(name))


def unknown_name(name: str) -> ModelError:
    hint = nearest(name, known_names()) or "see: aigc models list; a Hub id has the form org/name"
    return ModelError(f"there is no model {elided(name)!r}", hint)


def known_names() -> list[str]:
    return [*BUILTINS, *read_aliases(), *catalogue()]

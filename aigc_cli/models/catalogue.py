"""The models that aigc knows by name: those inside the package, and well-known ones on the Hub."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aigc_cli.core.errors import ModelError

PACKAGE = Path(__file__).parent.parent


@dataclass(frozen=True, kw_only=True)
class Builtin:
    """A model inside the package, as a folder of transformers or diffusers. mode: of a language model."""

    name: str
    path: Path
    modality: Literal["text", "image"]
    mode: Literal["chat", "raw"] | None = None

    def folder(self) -> Path:
        """Raises: ModelError where this installation lacks it."""
        if not self.path.is_dir():
            raise ModelError(f"this installation lacks its built-in model {self.name}", "install aigc-cli again, or name another with -m")
        return self.path


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model on the Hub; see catalogue.toml for the fields. None where a fact is not known."""

    alias: str
    id: str
    modality: Literal["text", "image"]
    licence: str | None = None
    parameters: str | None = None
    mode: Literal["chat", "raw"] | None = None
    gated: bool = False


BUILTINS = {
    builtin.name: builtin
    for builtin in (
        Builtin(name="builtin:text", path=PACKAGE / "builtin" / "text", modality="text", mode="raw"),
        Builtin(name="builtin:image", path=PACKAGE / "builtin" / "image", modality="image"),
    )
}


def builtin_name(modality: Literal["text", "image"]) -> str | None:
    """Of the model that is taken where none is named; None where this installation has none of this kind."""
    return next((each.name for each in BUILTINS.values() if each.modality == modality and each.path.is_dir()), None)


@functools.cache
def catalogue() -> dict[str, Entry]:
    """Entries by alias, in the order of the data file."""
    table: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
    return {alias: Entry(alias=alias, **fields) for alias, fields in table.items()}


def entry_of(hub_id: str) -> Entry | None:
    """What the catalogue says about a Hub id; the Hub takes no notice of case."""
    return next((entry for entry in catalogue().values() if entry.id.lower() == hub_id.lower()), None)

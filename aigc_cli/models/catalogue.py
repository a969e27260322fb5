"""The models that aigc knows by name: those inside the package, and well-known ones on the Hub."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

PACKAGE = Path(__file__).parent.parent


@dataclass(frozen=True, kw_only=True)
class Builtin:
    """A model inside the package."""

    name: str
    path: Path
    modality: Literal["text", "image"]
    mode: Literal["chat", "raw"]


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


BUILTINS = {"builtin:text": Builtin(name="builtin:text", path=PACKAGE / "builtin" / "text", modality="text", mode="raw")}


@functools.cache
def catalogue() -> dict[str, Entry]:
    """Entries by alias, in the order of the data file."""
    table: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
    return {alias: Entry(alias=alias, **fields) for alias, fields in table.items()}


def entry_of(hub_id: str) -> Entry | None:
    """What the catalogue says about a Hub id; the Hub takes no notice of case."""
    return next((entry for entry in catalogue().values() if entry.id.lower() == hub_id.lower()), None)

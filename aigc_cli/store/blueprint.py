"""What the file that describes a new pipeline says of it: its tables, whatever else stands there and in whatever order."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

Tables = dict[str, dict[str, Any]]  # by their names, fields by theirs

AUTOENCODER = "vae", "path"  # the table and the field that name a folder; its files count, not where it lies


def read_tables(path: Path) -> Tables:
    """In JSON's values, of a file that was read before. The options that may stand above the tables are none of them."""
    values = tomllib.loads(path.read_text("utf-8"))
    tables: Tables = json.loads(json.dumps({name: table for name, table in values.items() if isinstance(table, dict)}, default=str))
    return tables


def existing_autoencoder(tables: Tables) -> Path | None:
    """The folder of an autoencoder that is taken as it is."""
    table, field = AUTOENCODER
    folder = tables.get(table, {}).get(field)
    return Path(folder).expanduser() if folder else None


def canonical(tables: Tables) -> str:
    """One text for all files that say the same."""
    said = {name: {field: value for field, value in table.items() if (name, field) != AUTOENCODER} for name, table in tables.items()}
    return json.dumps(said, sort_keys=True)


def table_changes(old: Tables, new: Tables) -> list[str]:
    """Each in words: "[unet] layers_per_block was 1, is 2"."""
    places = [(name, field) for name in {**old, **new} for field in {**old.get(name, {}), **new.get(name, {})}]
    pairs = {place: tuple(worded(tables, *place) for tables in (old, new)) for place in places if place != AUTOENCODER}
    return [f"[{name}] {field} was {before}, is {now}" for (name, field), (before, now) in pairs.items() if before != now]


def worded(tables: Tables, name: str, field: str) -> str:
    """A value nearly as the file has it."""
    table = tables.get(name, {})
    return json.dumps(table[field], ensure_ascii=False, sort_keys=True) if field in table else "not given"

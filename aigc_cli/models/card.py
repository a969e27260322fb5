"""What a model's own card, the README.md in its folder, says in a form that can be read off."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

LICENCE = re.compile(r"^license: *(\S.*?) *$", re.MULTILINE)
FRONT_MATTER = re.compile(r"---\n(.*?)\n---\n", re.DOTALL)
TABLE = re.compile(r"^\|\s*\|\s*\|\n\|[-:| ]+\|\n((?:\|.*\|\n?)+)", re.MULTILINE)  # of two columns without headings
ESCAPED = re.compile(r"\\([|<>_*`])|`")


@dataclass(frozen=True)
class Card:
    """facts: the rows of its table of facts, the first with two columns that have no headings."""

    licence: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


def read_card(folder: Path) -> Card:
    """Empty where there is none, or none that can be read."""
    try:
        text = (folder / "README.md").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return Card()
    head = FRONT_MATTER.match(text)
    licence = LICENCE.search(head[1]) if head else None
    table = TABLE.search(text)
    rows = (re.split(r"(?<!\\)\|", line)[1:3] for line in table[1].splitlines()) if table else ()
    return Card(licence[1] if licence else None, {plain(name): plain(fact) for name, fact in rows})


def plain(cell: str) -> str:
    """Without Markdown's marks of code and its backslashes."""
    return ESCAPED.sub(lambda match: match[1] or "", cell).strip()

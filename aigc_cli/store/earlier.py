"""The rows that earlier results were measured on, brought along when a run goes on from one."""

from __future__ import annotations

import shutil
from pathlib import Path

VALIDATION, EARLIER = "validation", "earlier"


def carry_over(before: Path, after: Path) -> bool:
    """From one run's data to the next: its validation rows become "earlier", its "earlier" becomes "earlier-2", and so on.

    Returns: whether it has validation rows. Each is copied whole or not at all; what is there already stays.
    """
    has_rows = (before / VALIDATION).is_dir()
    carried = [(before / VALIDATION, EARLIER)] if has_rows else []
    carried += [(path, next_name(path.name)) for path in before.glob(f"{EARLIER}*")]
    for source, name in carried:
        if not (after / name).exists():
            temporary = after / f".{name}.tmp"
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.copytree(source, temporary)
            temporary.rename(after / name)
    return has_rows


def next_name(name: str) -> str:
    """earlier -> earlier-2 -> earlier-3"""
    _, _, number = name.partition("-")
    return f"{EARLIER}-{int(number or 1) + 1}"

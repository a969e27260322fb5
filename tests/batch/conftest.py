"""What the tests of batches share."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from aigc_cli.batch.columns import image_columns
from aigc_cli.batch.rows import PromptRow, read_rows
from aigc_cli.core.events import Caution

Outcome = TypeVar("Outcome")


def outcome(events: Generator[Caution, None, Outcome]) -> tuple[Outcome, list[str]]:
    """What a generator returns, and what it said on the way."""
    said: list[str] = []
    while True:
        try:
            said.append(next(events).message)
        except StopIteration as end:
            return end.value, said


class Read:
    """A source that was read: its rows, what was said, and each row's values and origin."""

    def __init__(self, source: Path | str, **options: Any) -> None:
        folder = options.pop("folder", Path())
        rows, self.said = outcome(read_rows(str(source), image_columns(folder), **options))
        self.rows: tuple[PromptRow, ...] = rows
        self.values = [dict(row.values) for row in rows]
        self.prompts = [row.values["prompt"] for row in rows]
        self.origins = [row.origin for row in rows]


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Writes a file of text or bytes and returns its path."""

    def to_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return to_file

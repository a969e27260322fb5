"""A data set from a few lines, and what was said on the way to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from aigc_cli.core.events import Caution, Event
from aigc_cli.core.sample import Sample, Split
from aigc_cli.data.check import check
from aigc_cli.data.dataset import Dataset


class Checked:
    """The outcome of a check: its events, and the data set."""

    def __init__(self, *paths: Path | str, **options: Any) -> None:
        self.rejects = Path("rejects.jsonl")
        self.events: list[Event] = []
        named = {name: [str(path) for path in options.pop(name, ())] for name in ("validation", "test")}
        options = {"val_split": 0.0, "rejects": self.rejects, **options}
        self.dataset = self.run([str(path) for path in paths], **named, **options)

    def run(self, paths: Sequence[str], **options: Any) -> Dataset:
        events = check(paths, **options)
        while True:
            try:
                self.events.append(next(events))
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]

    @property
    def cautions(self) -> str:
        return "\n".join(f"{event.message} ({event.hint})" for event in self.events if isinstance(event, Caution))

    @property
    def samples(self) -> list[Sample]:
        return [sample for _, _, sample in self.dataset.samples()]

    @property
    def origins(self) -> list[str]:
        return [f"{Path(origin.file).name}:{origin.line}" for _, origin, _ in self.dataset.samples()]

    @property
    def splits(self) -> dict[str, Split]:
        """Each row's text and the split it is in."""
        return {sample.text: split for split, _, sample in self.dataset.samples()}  # type: ignore[union-attr]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes rows as JSON lines, and str or bytes as they are."""

    def to_file(name: str, *rows: dict[str, Any] | str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = [json.dumps(row, ensure_ascii=False) + "\n" if isinstance(row, dict) else row for row in rows]
        path.write_bytes(b"".join(part.encode() if isinstance(part, str) else part for part in parts))
        return path

    return to_file


def texts(*words: str) -> list[dict[str, Any]]:
    return [{"text": word} for word in words]

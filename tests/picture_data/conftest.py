"""Folders of pictures, checked, and what was said on the way."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from aigc_cli.core.events import Caution, Event, Progress
from aigc_cli.core.sample import Split
from aigc_cli.picture_data.check import check_pictures
from aigc_cli.picture_data.dataset import PictureDataset, PictureRow

Save = Callable[..., Path]


def noise(seed: int, size: tuple[int, int] = (16, 12), mode: str = "RGB") -> Image.Image:
    """A picture unlike that of any other seed."""
    channels = len(Image.new(mode, (1, 1)).getbands())
    return Image.frombytes(mode, size, random.Random(seed).randbytes(size[0] * size[1] * channels))


class Checked:
    """The outcome of a check: its events, and the data set."""

    def __init__(self, *paths: Path | str, validation: tuple[Path | str, ...] = (), **options: Any) -> None:
        options = {"val_split": 0.0, "rejects": None, **options}
        self.events: list[Event] = []
        self.dataset: PictureDataset = self.run([str(path) for path in paths], [str(path) for path in validation], options)

    def run(self, paths: list[str], validation: list[str], options: dict[str, Any]) -> PictureDataset:
        events = check_pictures(paths, validation, **options)
        while True:
            try:
                self.events.append(next(events))
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]

    @property
    def cautions(self) -> str:
        return "\n".join(f"{event.message} ({event.hint})" for event in self.events if isinstance(event, Caution))

    @property
    def progress(self) -> list[Progress]:
        return [event for event in self.events if isinstance(event, Progress)]

    @property
    def captions(self) -> dict[str, tuple[str, ...]]:
        return {row.path.name: row.captions for row in self.dataset.rows}

    def names(self, split: Split) -> list[str]:
        return [row.path.name for row in self.dataset.of(split)]

    @property
    def row(self) -> PictureRow:
        (row,) = self.dataset.rows
        return row


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Writes a picture below the test's folder, with the caption beside it; without an image, one of its own."""
    count = iter(range(1000))

    def to_file(name: str, caption: str | bytes | None = "a thing", image: Image.Image | None = None, **options: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (image or noise(next(count))).save(path, **options)
        if caption is not None:
            path.with_suffix(".txt").write_bytes(caption.encode() if isinstance(caption, str) else caption)
        return path

    return to_file

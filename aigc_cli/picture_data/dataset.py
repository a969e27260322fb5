"""Pictures that have passed their check."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from aigc_cli.core.sample import Origin, Split


@dataclass(frozen=True, slots=True)
class Cell:
    """A part of a sheet, in pixels from its left upper corner."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureRow:
    """A picture with what it shows.

    origin: the index and its line, or the picture's own file.  path: of the picture, or of the sheet that `cell` is a part of.
    captions: one of them is drawn each time the picture is seen; "" learns it without words.
    width, height: pixels, upright.  has_alpha: whether any of it is transparent.
    content: sha256 over pixels and captions, in hex.
    """

    origin: Origin
    path: Path
    cell: Cell | None
    captions: tuple[str, ...]
    width: int
    height: int
    has_alpha: bool
    content: str
    split: Split


@dataclass(frozen=True)
class NamedData:
    """What the user named: a folder, an index or a picture.

    sha256: over the content of its good pictures in their order, so that it changes with any pixel, any caption, and nothing else.
    size: bytes of all files that were read for it.
    """

    path: str
    sha256: str
    size: int
    split: Split


@dataclass(frozen=True, kw_only=True)
class PictureDataset:
    """rows: all good ones, in the order of the files, those of one split not together.

    duplicates: pictures named for training equal to one before, pixel by pixel.  leaked: training pictures that also stand among
    those that are measured on.  Both are among the rows.  left_out: bad rows.  changes: how many pictures were changed on opening, by
    what was done to them ("turned upright", "16 bits a channel made 8", ...).
    """

    files: tuple[NamedData, ...]
    rows: tuple[PictureRow, ...]
    duplicates: int = 0
    leaked: int = 0
    left_out: int = 0
    changes: dict[str, int] = field(default_factory=dict)

    def of(self, split: Split) -> tuple[PictureRow, ...]:
        return tuple(row for row in self.rows if row.split == split)

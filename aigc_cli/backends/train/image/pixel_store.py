"""Pictures of one size in a file that is mapped into memory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy

from aigc_cli.backends.train.image.buckets import Shape
from aigc_cli.backends.train.image.pixels import covered, to_array
from aigc_cli.core.errors import AigcError
from aigc_cli.core.events import Event, Progress
from aigc_cli.core.sample import Origin, Split
from aigc_cli.core.units import format_size
from aigc_cli.picture_data.dataset import PictureDataset
from aigc_cli.picture_data.opening import open_row
from aigc_cli.store.durable import sync_file

EVERY = 200  # pictures between two events


@dataclass(frozen=True)
class Pixels:
    """array: (N, side, side, channels) of 8 bits.  origins, splits: of each."""

    array: numpy.ndarray
    origins: Sequence[Origin]
    splits: Sequence[Split]


def stored_pixels(dataset: PictureDataset, folder: Path, *, side: int, channels: int) -> Generator[Event, None, Pixels]:
    """All of the data's pictures as squares, written to `folder` unless they lie there whole.

    Raises: AigcError where the disk has no room for them.
    """
    path = folder / "pixels.npy"
    shape = (len(dataset.rows), side, side, channels)
    if not path.exists():
        yield from write_pixels(dataset, path, shape)
    rows = dataset.rows
    return Pixels(numpy.load(path, mmap_mode="r"), [row.origin for row in rows], [row.split for row in rows])


def write_pixels(dataset: PictureDataset, path: Path, shape: tuple[int, int, int, int]) -> Generator[Event, None, None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    size, free = int(numpy.prod(shape)), shutil.disk_usage(path.parent).free
    if size > free:
        raise AigcError(f"the autoencoder's pictures want {format_size(size)} in {path.parent}, {format_size(free)} are free", "make room")
    unfinished = path.with_suffix(".tmp")
    array = numpy.lib.format.open_memmap(unfinished, mode="w+", dtype=numpy.uint8, shape=shape)
    for number, row in enumerate(dataset.rows):
        if number % EVERY == 0:
            yield Progress(phase="reading pictures", done=number, total=shape[0], unit="pictures")
        array[number] = to_array(covered(open_row(row), Shape(shape[2], shape[1])), shape[3])
    array.flush()
    del array
    sync_file(unfinished)
    os.rename(unfinished, path)

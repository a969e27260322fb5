"""Tensors of one shape in a file, read one by one, and a way to fill such files that a kill does not undo."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import torch
from torch import Tensor

from aigc_cli.atomic_file import replace_file

SYNC_SECONDS = 10.0  # of work that a power cut undoes
T = TypeVar("T")


@dataclass(frozen=True)
class TensorFile:
    """Items of `shape` end to end. They are read when they are asked for: the pages of a mapped file would count as the process's own."""

    path: Path
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def item_bytes(self) -> int:
        return self.dtype.itemsize * torch.Size(self.shape).numel()

    @property
    def count(self) -> int:
        return self.path.stat().st_size // self.item_bytes if self.path.exists() else 0

    def read(self, number: int) -> Tensor:
        """Raises: IndexError past the end."""
        self._file.seek(number * self.item_bytes)
        data = self._file.read(self.item_bytes)
        if len(data) != self.item_bytes:
            raise IndexError(f"{self.path} has no item {number}")
        return torch.frombuffer(bytearray(data), dtype=self.dtype).reshape(self.shape)

    def packed(self, items: Tensor) -> bytes:
        """Raises: ValueError for items of another shape."""
        if tuple(items.shape[1:]) != self.shape:
            raise ValueError(f"{self.path.name} holds items of shape {self.shape}, not {tuple(items.shape[1:])}")
        return items.to(self.dtype).contiguous().cpu().view(torch.uint8).numpy().tobytes()

    def close(self) -> None:
        if "_file" in self.__dict__:
            self._file.close()
            del self.__dict__["_file"]

    @cached_property
    def _file(self) -> BinaryIO:
        return open(self.path, "rb", buffering=0)

    def to_json(self) -> dict[str, Any]:
        return {"name": self.path.name, "shape": list(self.shape), "dtype": str(self.dtype).removeprefix("torch.")}

    @classmethod
    def from_json(cls, folder: Path, value: dict[str, Any]) -> TensorFile:
        return cls(folder / value["name"], tuple(value["shape"]), getattr(torch, value["dtype"]))


def fill(files: Sequence[TensorFile], items: Sequence[T], at_once: int, make: Callable[[Sequence[T]], Sequence[Tensor]]) -> Iterator[int]:
    """Writes what `make` makes of the items: for each file a tensor with as many of its own. Yields: how many items are done.

    An earlier start is gone on with, its items kept and put together in the same groups. All files must be in one folder.
    Raises: OSError, as from a full disk; what was written before it is kept.
    """
    mark = files[0].path.with_suffix(".done")
    done = safely_done(mark, files)
    if done == len(items):
        return
    done -= done % at_once
    with ExitStack() as stack:
        opened = [stack.enter_context(opened_at(file, done)) for file in files]
        synced = time.perf_counter()
        while done < len(items):
            group = items[done : done + at_once]
            for stream, file, made in zip(opened, files, make(group), strict=True):
                stream.write(file.packed(made))
            done += len(group)
            if done == len(items) or time.perf_counter() - synced > SYNC_SECONDS:
                for stream in opened:
                    stream.flush()
                    os.fsync(stream.fileno())
                replace_file(mark, str(done).encode())
                synced = time.perf_counter()
            yield done


def safely_done(mark: Path, files: Sequence[TensorFile]) -> int:
    """How many items reached the disk, as was noted after they had."""
    noted = int(mark.read_text()) if mark.exists() else 0
    return min(noted, *(file.count for file in files))


def opened_at(file: TensorFile, items: int) -> BinaryIO:
    """To be written on after so many items."""
    stream = open(file.path, "r+b" if file.path.exists() else "w+b")  # noqa: SIM115 - the caller closes it
    stream.truncate(items * file.item_bytes)
    stream.seek(0, os.SEEK_END)
    return stream

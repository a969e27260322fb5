"""Opens every picture once, several at a time."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Progress
from aigc_cli.data.row import BadRowError
from aigc_cli.picture_data.dataset import Cell
from aigc_cli.picture_data.entries import Entry
from aigc_cli.picture_data.opening import cut_out, decode, pixel_digest

SMALLEST_SIDE = 8  # pixels: autoencoders make one latent of as many
MOST_THREADS = 8  # each holds a whole picture
PROGRESS_STEPS = 200


@dataclass(frozen=True, slots=True)
class Look:
    """What a picture is. pixels: the digest of them.  changes: what was done to it on opening."""

    width: int
    height: int
    has_alpha: bool
    pixels: bytes
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Job:
    """A file, and which entries mean it: decoded once for all."""

    path: Path
    numbers: tuple[int, ...]
    cells: tuple[Cell | None, ...]


def look_at_all(entries: Sequence[Entry]) -> Generator[Progress, None, list[Look | str]]:
    """In the order of the entries; for a bad one why it is."""
    found: list[Look | str] = [entry.error for entry in entries]
    jobs = jobs_of(entries)
    total = sum(len(job.numbers) for job in jobs)
    done = shown = 0
    for job, looks in looked_at(jobs):
        for number, look in zip(job.numbers, looks, strict=True):
            found[number] = look
        done += len(looks)
        if done - shown > total // PROGRESS_STEPS or done == total:
            shown = done
            yield Progress(phase="checking the pictures", done=done, total=total, unit="pictures")
    return found


def jobs_of(entries: Sequence[Entry]) -> list[Job]:
    by_path: dict[Path, list[int]] = {}
    for number, entry in enumerate(entries):
        if entry.path and not entry.error:
            by_path.setdefault(entry.path, []).append(number)
    return [Job(path, tuple(numbers), tuple(entries[number].cell for number in numbers)) for path, numbers in by_path.items()]


def looked_at(jobs: Iterable[Job]) -> Iterator[tuple[Job, list[Look | str]]]:
    """In their order. Pillow decodes outside of Python's lock; only a few more than there are threads are begun at a time."""
    threads = min(os.cpu_count() or 1, MOST_THREADS)
    begun: deque[tuple[Job, Future[list[Look | str]]]] = deque()
    pool = ThreadPoolExecutor(threads, "look")
    try:
        for job in jobs:
            begun.append((job, pool.submit(look_at, job)))
            if len(begun) > 4 * threads:
                first, future = begun.popleft()
                yield first, future.result()
        for first, future in begun:
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def look_at(job: Job) -> list[Look | str]:
    try:
        image, changes = decode(job.path)
    except UsageError as error:
        return [error.message for _ in job.cells]
    found: list[Look | str] = []
    for cell in job.cells:
        try:
            picture = cut_out(image, cell)
        except BadRowError as error:
            found.append(str(error))
            continue
        if min(picture.size) < SMALLEST_SIDE:
            found.append(f"{picture.width} x {picture.height} pixels are too few: sides have {SMALLEST_SIDE} or more")
        else:
            found.append(Look(*picture.size, picture.mode == "RGBA", pixel_digest(picture), changes))
    return found

"""What a run of `aigc upscale` has to do: each picture looked at before the first is made larger, and what is there already."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from aigc_cli.batch.enlarged import Enlarged, is_as_written, read_enlarged
from aigc_cli.commands.bad_pictures import bad_pictures_error, listed
from aigc_cli.core.elision import elided
from aigc_cli.core.engine import Dtype
from aigc_cli.core.errors import ModelError, UsageError
from aigc_cli.core.events import Progress
from aigc_cli.data.bad_rows import TO_MEND
from aigc_cli.pictures.metadata import SUFFIXES, Format
from aigc_cli.pictures.names import folded
from aigc_cli.pictures.opening import open_picture, reading
from aigc_cli.pictures.upscale import target_size
from aigc_cli.store.manifest import sha256_of

if TYPE_CHECKING:
    from aigc_cli.render.output import Output


@dataclass(frozen=True)
class Order:
    """What was asked for. scale: None is the model's own.  model: None is Lanczos.  dtype: None is what suits the device."""

    folder: Path
    scale: float | None
    model: Path | None
    dtype: Dtype | None
    overwrite: bool
    skip_bad: bool

    @cached_property
    def identity(self) -> dict[str, str | float | None]:
        """What decides, besides a picture, what becomes of it. Not so tiles: a run that lacked memory goes on with smaller ones.

        Raises: ModelError for weights that cannot be read.
        """
        try:
            by = sha256_of(self.model) if self.model else "Lanczos"
        except OSError as error:
            message = f"{elided(self.model)} cannot be read: {(error.strerror or str(error)).lower()}"
            raise ModelError(message, "--model takes a file of weights of an upscaling network") from error
        return {"by": by, "scale": self.scale, "dtype": self.dtype}


@dataclass(frozen=True)
class Job:
    """A picture, its size, and the file that its larger one goes to. key: of its content and of how it is made larger."""

    source: Path
    target: Path
    form: Format
    size: tuple[int, int]
    key: str


@dataclass(frozen=True)
class Plan:
    """jobs: what is to be done.  there: what an earlier run has left, and from what.  count: of all pictures."""

    count: int
    jobs: list[Job] = field(default_factory=list)
    there: list[tuple[Path, Enlarged]] = field(default_factory=list)


def make_plan(files: Sequence[Path], order: Order, screen: Output) -> Plan:
    """Reads every picture whole whose larger one is not there.

    Raises: UsageError for two that would go to one file, and for bad pictures, all of them, unless they are to be left out.
    """
    wanted = targets(files, order.folder)
    records = read_enlarged(order.folder)
    plan = Plan(len(wanted))
    bad: dict[Path, UsageError] = {}
    for number, (source, target, form) in enumerate(wanted):
        screen.progress(Progress(phase="looking at the pictures", done=number, total=len(wanted), unit="pictures"))
        try:
            found = look(source, target, form, order, records.get(target.name))
        except UsageError as error:
            bad[source] = error
        else:
            plan.jobs.append(found) if isinstance(found, Job) else plan.there.append((source, found))
    screen.clear_progress()
    tell_bad(bad, plan.count, screen, skip_bad=order.skip_bad)
    return plan


def targets(files: Sequence[Path], folder: Path) -> list[tuple[Path, Path, Format]]:
    """Each picture, the file that its larger one goes to, and the format of that."""
    chosen: dict[str, tuple[Path, Path, Format]] = {}
    for source in files:
        form = SUFFIXES.get(source.suffix.lower())
        target = folder / (source.name if form else f"{source.stem}.png")
        if earlier := chosen.get(folded(target.name)):
            raise UsageError(f"{earlier[0]} and {source} would both become {target}", "give one another name, or take two runs")
        chosen[folded(target.name)] = (source, target, form or "png")
    return list(chosen.values())


def look(source: Path, target: Path, form: Format, order: Order, record: Enlarged | None) -> Job | Enlarged:
    """Raises: UsageError for what is no picture, would be too large, or has a file where its larger one is to go."""
    with reading(source):
        content = sha256_of(source)
    key = digest([content, target.name, order.identity])
    if record and record.key == key and is_as_written(order.folder, record):
        return record
    picture, _ = open_picture(source)
    job = Job(source, target, form, picture.size, key)
    if order.scale:
        check_size(job, order.scale)
    refuse_taken(source, target, overwrite=order.overwrite)
    return job


def digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def check_size(job: Job, scale: float) -> None:
    try:
        target_size(job.size, scale, job.form)
    except UsageError as error:
        raise UsageError(f"{job.source}: {error.message}", error.hint) from None


def refuse_taken(source: Path, target: Path, *, overwrite: bool) -> None:
    if not target.exists():
        return
    if target.samefile(source):
        raise UsageError(f"{source} would take its own place", "choose another folder after -o")
    if target.is_dir():
        raise UsageError(f"{target} is a folder, not a file", "choose another folder after -o")
    if not overwrite:
        message = f"{target} is there already, and was not made from {source} as it is now, in this way"
        raise UsageError(message, "choose another folder after -o, or use --overwrite")


def fitting(plan: Plan, scales: Sequence[float], order: Order, screen: Output) -> list[Job]:
    """The jobs whose pictures may become so many times as large, which without --scale only the model tells. Raises: as make_plan."""
    fit: list[Job] = []
    bad: dict[Path, UsageError] = {}
    for job in plan.jobs:
        try:
            for scale in scales:
                check_size(job, scale)
        except UsageError as error:
            bad[job.source] = error
        else:
            fit.append(job)
    tell_bad(bad, plan.count, screen, skip_bad=order.skip_bad)
    return fit


def tell_bad(bad: dict[Path, UsageError], count: int, screen: Output, *, skip_bad: bool) -> None:
    """Of `count` pictures. Raises: UsageError, unless they are to be left out and there are others."""
    if not bad:
        return
    if screen.json:
        for source, error in bad.items():
            screen.write_json({"source": str(source), "error": error.message, "hint": error.hint})
    errors = list(bad.values())
    if not skip_bad or len(bad) == count:
        hints = {error.hint for error in errors}
        raise bad_pictures_error(errors, count, "be made larger", hints.pop() if len(hints) == 1 else TO_MEND)
    screen.caution(f"{len(bad)} of {count} pictures cannot be made larger and are left out\n{listed(errors)}")

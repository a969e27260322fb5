"""The folder of a run: who may write to it, where things lie in it, and what of it may be removed.

Only a folder that was new or empty becomes a run's, so all that goes by a name of ours in it was made by aigc.

With --overwrite, what the earlier run made lies in `.replaced` until the new one is ready for its first step; if that is
refused, or killed before it has begun, all goes back. Each record (run.json) is the last to be moved: where there are two, the
new run has begun, and --resume goes on with it; --overwrite takes up the earlier one again in its place.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from aigc_cli.core.errors import AigcError, UsageError
from aigc_cli.core.training_request import TrainingRequest
from aigc_cli.core.units import format_size
from aigc_cli.store.checkpoints import listed, order, remove_leftovers
from aigc_cli.store.durable import met_full_disk, size_below, sync_folder, sync_tree
from aigc_cli.store.event_log import read_events
from aigc_cli.store.lock import Lock, held, leave_as_found, writable
from aigc_cli.store.run_record import NAME, RunRecord, named_files, read_record, write_record

LOCK = Lock(".lock", ".holder")
STDIN = "stdin.*"  # what came from there, for the second pass and for a resume
OF_EVERY_RUN = ("checkpoints", "data", "tensorboard", "samples", "log.jsonl", "report.json", "report.html", "README.md", "aigc.json")
RESULT, REMOVED, REPLACED = ".result.tmp-", ".removed-", ".replaced"


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps what. may_replace: the user asked for --overwrite.

    rejects: rows left out by the check of the data, which comes before the run proper.
    """

    path: Path
    may_replace: bool = False

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def data(self) -> Path:
        return self.path / "data"

    @property
    def samples(self) -> Path:
        """Sheets of what an image model drew on the way."""
        return self.path / "samples"

    @property
    def log(self) -> Path:
        return self.path / "log.jsonl"

    @property
    def rejects(self) -> Path:
        return self.path / "rejects.jsonl"

    @property
    def replaced(self) -> Path:
        return self.path / REPLACED

    @property
    def has_run(self) -> bool:
        return (self.path / NAME).exists()

    @property
    def is_replacing(self) -> bool:
        """A run has begun in the place of another, and was not yet ready for its first step."""
        return self.has_run and (self.replaced / NAME).exists()


@contextmanager
def claim(path: Path, *, resume: bool = False, overwrite: bool = False) -> Iterator[RunFolder]:
    """Holds a folder for one run, and makes it if need be. A folder in which no run was begun is left as it was found.

    An earlier run is as yet untouched: `begin` sets it aside.
    Raises: BusyError while another process holds it; UsageError where it cannot be had: it is a file, may not be
    written, holds files that are not ours, or a run that the user said nothing about, or none to resume.
    """
    if resume and overwrite:
        raise UsageError("--resume and --overwrite contradict each other", "leave out one of the two")
    run = RunFolder(path, may_replace=overwrite)
    was_there = os.path.exists(path)
    check_place(run, resume)
    with held(path, LOCK):
        try:
            withdraw(run) if overwrite and run.is_replacing else put_back(run)
            check_earlier_run(run, resume)
            remove_temporaries(run)
            remove_leftovers(run.checkpoints)
            yield run
        finally:
            put_back(run)
            if not run.has_run:
                leave_as_found(path, LOCK, was_there)


def begin(run: RunFolder, record: RunRecord) -> None:
    """Makes the claimed folder that of a new run. Of an earlier one, what it made is set aside, and nothing else.

    `withdraw` undoes it, `remove_replaced` makes it final.
    Raises: UsageError, with all in place, if the new run reads what would be removed.
    """
    if run.has_run:
        if not run.may_replace:
            raise ValueError(f"{run.path} was not claimed for overwriting")
        refuse_own_input(run, record.request)
        is_from_stdin = "-" in record.request.data.paths  # then what came from there is the new run's
        set_aside(run, [name for name in made_by(run) if not (is_from_stdin and fnmatch(name, STDIN))])
    write_record(run.path, record)


def make_way(run: RunFolder, names: Iterable[str]) -> None:
    """For what the check of new data is about to leave by these names. What an earlier run has is set aside, and is back
    unless `begin` follows; what a start that came to nothing left is removed.
    """
    if run.has_run:
        set_aside(run, names)
        return
    for name in names:
        (run.path / name).unlink(missing_ok=True)


def withdraw(run: RunFolder) -> None:
    """Removes a run that came to no step, its record last. The one that it would have replaced is back."""
    move(run.path, run.path / f"{REMOVED}{secrets.token_hex(4)}", made_by(run))
    put_back(run)
    remove_temporaries(run)


def remove_replaced(run: RunFolder) -> None:
    """The new run is ready for its first step: the one whose place it takes goes."""
    if run.replaced.exists():
        os.rename(run.replaced, run.path / f"{REMOVED}{secrets.token_hex(4)}")  # lest a part of it be put back
        remove_temporaries(run)


def install(run: RunFolder, write: Callable[[Path], None]) -> None:
    """Lets `write` fill a folder with the result's files and moves them into the run's: each is whole or not there.

    Raises: AigcError when the disk is full; what `write` raises.
    """
    staging = run.path / f"{RESULT}{secrets.token_hex(4)}"
    try:
        staging.mkdir()
        write(staging)
        sync_tree(staging)
        names = sorted(path.name for path in staging.iterdir())
        record = read_record(run.path)
        write_record(run.path, dataclasses.replace(record, made=tuple(sorted({*record.made, *names}))))  # first, lest one be nobody's
        for name in names:
            os.replace(staging / name, run.path / name)
    except Exception as error:
        if met_full_disk(error, run.path):
            raise no_room(run.path, size_below(staging)) from error
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    sync_folder(run.path)


def remove_temporaries(run: RunFolder) -> None:
    """What killed runs left behind: staging folders, and what `replace_file` was about to rename."""
    replaced = [f".{name}-" for name in (*OF_EVERY_RUN, NAME)]
    for prefix in (RESULT, REMOVED, *replaced):
        for path in run.path.glob(f"{prefix}*"):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()


def check_place(run: RunFolder, resume: bool) -> None:
    """Makes the folder, unless it is one that cannot become a run's. Raises: UsageError."""
    path = run.path
    if os.path.exists(path) and not path.is_dir():
        raise UsageError(f"{path} is a file, not a folder", "name a folder after -o")
    with writable(path):
        names = sorted(os.listdir(path)) if os.path.exists(path) else []
    if LOCK.file not in names and NAME not in names:
        if resume:
            raise UsageError(f"there is no run in {path} to resume", "leave out --resume to begin one, or check the name after -o")
        if names:
            others = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            raise UsageError(f"{path} holds files that are not of a run: {others}", "choose another folder after -o")
    with writable(path):
        path.mkdir(parents=True, exist_ok=True)


def check_earlier_run(run: RunFolder, resume: bool) -> None:
    """Raises: UsageError unless the user said what to do with the run there is, or there is none."""
    if not run.has_run:
        if resume:
            raise UsageError(f"the run in {run.path} ended before it began", "leave out --resume to begin it")
        return
    record = read_record(run.path)
    if resume or run.may_replace:
        return
    if record.status == "complete":
        hint = f"go on from its result with --continue {run.path} and another -o, or replace it with --overwrite"
        raise UsageError(f"{run.path} holds a finished run", hint)
    hint = "go on with --resume, replace it with --overwrite, or choose another -o"
    kept = f"; the one before it is kept in {run.replaced} until then" if run.is_replacing else ""
    raise UsageError(f"{run.path} holds a run that stopped {how_far(run)}{kept}", hint)


def how_far(run: RunFolder) -> str:
    """Up to where a resume would find things done, as its folders and its log have it; no checkpoint is read."""
    found = listed(run.checkpoints)
    try:
        events = read_events(run.log)
    except AigcError:  # a damaged log
        events = []
    if found:
        step, split = order(found[0])[0], None
    else:
        saved = [(event["step"], event["split"]) for event in events if event["event"] == "checkpoint" and "split" in event]
        if not saved:
            return "before its first checkpoint"
        step, split = saved[-1]
    steps = next((event["steps"] for event in events if event["event"] == "train_step" and event.get("split") == split), None)
    return f"at step {step}" + (f" of {steps}" if steps else "") + (f" of its {split}" if split else "")


def put_back(run: RunFolder) -> None:
    """Brings back what was set aside, unless a run has begun in its place."""
    if not run.replaced.is_dir() or run.is_replacing:
        return
    if any(run.replaced.glob(STDIN)):  # what lies in its place came to the start that was refused
        for path in run.path.glob(STDIN):
            path.unlink()
    names = {path.name for path in run.replaced.iterdir()}
    move(run.replaced, run.path, [*sorted(names - {NAME}), NAME])
    run.replaced.rmdir()


def set_aside(run: RunFolder, names: Iterable[str]) -> None:
    move(run.path, run.replaced, names)


def move(source: Path, target: Path, names: Iterable[str]) -> None:
    """Renames what there is by these names, in their order."""
    target.mkdir(exist_ok=True)
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            os.replace(source / name, target / name)


def made_by(run: RunFolder) -> list[str]:
    """Names that the run may have made in its folder, its record's last."""
    from_stdin = sorted(path.name for path in run.path.glob(STDIN))
    return [*dict.fromkeys([*OF_EVERY_RUN, *read_record(run.path).made, *from_stdin]), NAME]


def refuse_own_input(run: RunFolder, request: TrainingRequest) -> None:
    """Raises: UsageError for a run that reads from the folder it would replace."""
    read = [Path(name).resolve() for name in named_files(request) if os.path.exists(name)]
    inputs = [path for path in read if path.is_relative_to(run.path.resolve())]
    if inputs:
        message = f"--overwrite would remove {run.path}, and this run reads {inputs[0]}"
        raise UsageError(message, "choose another folder after -o")


def no_room(folder: Path, written: int) -> AigcError:
    free = format_size(shutil.disk_usage(folder).free)
    message = f"no room for the result: it needs more than {format_size(written)}, {free} are free in {folder}; the checkpoints are whole"
    return AigcError(message, "make room, then run the command again with --resume")

"""Checkpoints: folders that are either whole or not there, whatever kills the run.

    checkpoints/step-00000120/                  manifest.json, written last, lists the other files
    checkpoints/step-00000120.2/                the same step, saved again after a resume: the higher number counts
    checkpoints/.step-00000120.tmp-1f0c2a9b/    being written, or left behind by a run that was killed
    checkpoints/.step-00000120.removed-7d31c0e5/

A checkpoint appears by one rename to a name that was free, and goes by one rename away from it: there is no moment
without the one before. Which is the newest and which the best follows from the folders and their manifests alone.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aigc_cli.core.errors import AigcError
from aigc_cli.core.units import format_size
from aigc_cli.store.durable import met_full_disk, size_below, sync_folder
from aigc_cli.store.manifest import DamagedError, Manifest, check_contents, check_sizes, read_manifest, seal

NAME = re.compile(r"step-(\d{8,})(?:\.(\d+))?")
LEFTOVER = ".step-*.*-*"


@dataclass(frozen=True)
class Found:
    """A checkpoint whose every byte was checked.

    best: no evaluation was better when it was written.  info: as given to `publish`.  size: bytes.
    passed_over: newer ones that are damaged, and what is wrong with each.
    """

    path: Path
    step: int
    best: bool
    info: dict[str, Any]
    size: int
    passed_over: tuple[tuple[Path, str], ...] = ()


def publish(folder: Path, step: int, *, best: bool, write: Callable[[Path], None], info: dict[str, Any]) -> Path:
    """Lets `write` fill a folder and makes it the checkpoint of `step`. Returns its path when it is safely on disk.

    A step that was saved before is replaced; if that was the best it stays so, for its weights are the same. Later
    steps are removed: a resume has passed over them, for they were damaged.
    info: small plain values (JSON).
    Raises: AigcError when the disk is full; what `write` raises. Nothing half done stays, earlier checkpoints do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    superseded = [path for path in listed(folder) if order(path)[0] >= step]
    was_best = any(is_best(path) for path in superseded if order(path)[0] == step)
    facts = {"step": step, "best": best or was_best, "info": info}
    temporary = hidden_name(folder / name_of(step), "tmp")
    try:
        temporary.mkdir()
        write(temporary)
        seal(temporary, facts)
        os.rename(temporary, target := free_name(folder, step))
    except BaseException as error:
        is_full, written = met_full_disk(error, folder), size_below(temporary)
        shutil.rmtree(temporary, ignore_errors=True)
        if is_full:
            raise no_room(folder, step, written) from error
        raise
    sync_folder(folder)
    for path in superseded:
        remove(path)
    return target


def newest(folder: Path) -> Found | None:
    """The newest checkpoint that is whole; None where there is none at all. Reads all of it.

    Raises: AigcError where there are some and every one is damaged.
    """
    found, passed_over = first_whole(folder, lambda manifest: True)
    if found is None and passed_over:
        flaws = ", ".join(f"{path.name} ({flaw})" for path, flaw in passed_over)
        raise AigcError(f"no checkpoint in {folder} can be used: {flaws}", "begin anew with --overwrite, or choose another -o")
    return found


def best(folder: Path) -> Found | None:
    """The newest that is whole among those which were the best when they were written; None where none is."""
    return first_whole(folder, lambda manifest: bool(manifest.facts["best"]))[0]


def prune(folder: Path, keep: int) -> list[Path]:
    """Removes all but the best checkpoint and the newest `keep` besides. Returns what was removed.

    A damaged one (a file missing or of another size: contents are not read) counts as none, and is left alone.
    """
    candidates = [path for path in listed(folder) if looks_whole(path)]
    the_best = next((path for path in candidates if is_best(path)), None)
    superfluous = [path for path in candidates if path != the_best][keep:]
    for path in superfluous:
        remove(path)
    return superfluous


def remove(path: Path) -> None:
    """Removes a checkpoint; killed on the way, it leaves nothing that looks like one."""
    gone = hidden_name(path, "removed")
    os.rename(path, gone)
    shutil.rmtree(gone, ignore_errors=True)  # what cannot be removed now is tried again when the next run starts


def remove_leftovers(folder: Path) -> None:
    """Removes what killed runs left half written or half removed. For the holder of the run's lock only."""
    for path in folder.glob(LEFTOVER):
        shutil.rmtree(path, ignore_errors=True)


def listed(folder: Path) -> list[Path]:
    """Folders with a checkpoint's name, newest first, whole or not."""
    found = [path for path in folder.glob("step-*") if NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=order, reverse=True)


def order(path: Path) -> tuple[int, int]:
    """Step, and how often it was saved before."""
    match = NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1]), int(match[2] or 1)


def name_of(step: int) -> str:
    return f"step-{step:08d}"


def free_name(folder: Path, step: int) -> Path:
    """A name for a checkpoint of `step` that comes after those there are."""
    taken = [order(path)[1] for path in folder.glob(f"{name_of(step)}*") if NAME.fullmatch(path.name)]
    return folder / (f"{name_of(step)}.{max(taken) + 1}" if taken else name_of(step))


def hidden_name(path: Path, state: str) -> Path:
    return path.with_name(f".{path.name}.{state}-{secrets.token_hex(4)}")


def looks_whole(path: Path) -> bool:
    try:
        check_sizes(path, read_manifest(path))
    except DamagedError:
        return False
    return True


def is_best(path: Path) -> bool:
    return looks_whole(path) and bool(read_manifest(path).facts["best"])


def first_whole(folder: Path, is_wanted: Callable[[Manifest], bool]) -> tuple[Found | None, list[tuple[Path, str]]]:
    """The newest checkpoint of the wanted kind, and the damaged ones before it in that order, whatever their kind."""
    passed_over: list[tuple[Path, str]] = []
    for path in listed(folder):
        try:
            manifest = read_manifest(path)
            if not is_wanted(manifest):
                continue
            check_contents(path, manifest)
        except DamagedError as error:
            passed_over.append((path, str(error)))
        else:
            facts = manifest.facts
            return Found(path, facts["step"], facts["best"], facts["info"], manifest.size, tuple(passed_over)), passed_over
    return None, passed_over


def no_room(folder: Path, step: int, written: int) -> AigcError:
    """The error for a disk that filled up while a checkpoint was written. written: bytes, until then."""
    free = format_size(shutil.disk_usage(folder).free)
    try:
        before = newest(folder)
    except AigcError:
        before = None
    least = f"more than {format_size(written)}" if written else "more than there is"
    needs = f"about {format_size(max(written, before.size))}" if before else least
    what_is_left = f"the checkpoint of step {before.step} is whole" if before else "there is none before it"
    message = f"no room for the checkpoint of step {step}: it needs {needs}, {free} are free in {folder}; {what_is_left}"
    return AigcError(message, "make room, then run the command again with --resume")

"""Where an export goes: a file or folder that appears whole, or not at all."""

from __future__ import annotations

import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aigc_cli.core.errors import AigcError, UsageError
from aigc_cli.store.durable import met_full_disk, sync_file, sync_folder, sync_tree

OF_AN_EXPORT = ("config.json", "adapter_config.json")
RUN_RECORD = "run.json"


def check_target(path: Path, run: Path, *, overwrite: bool) -> None:
    """Raises: UsageError, before anything slow, for a path that is taken, or that an export must not replace."""
    target, source = path.resolve(), run.resolve()
    if source.is_relative_to(target):
        raise UsageError(f"{path} would take the place of what is exported", "choose another -o")
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}", "create it first")
    if not target.exists() or is_empty(target):
        return
    if not overwrite:
        raise UsageError(f"{path} is there already", "choose another -o, or replace it with --overwrite")
    if target.is_dir() and ((target / RUN_RECORD).exists() or not any((target / name).exists() for name in OF_AN_EXPORT)):
        raise UsageError(f"{path} is a folder that no export made: it is left as it is", "choose another -o")


def is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write a file or a folder to, which takes that path, and its place, when it is safely on disk.

    Raises: AigcError when the disk is full. After any error nothing new is there, and what was there still is.
    """
    path = path.absolute()
    clear_leftovers(path)
    temporary = hidden_name(path, "tmp")
    try:
        yield temporary
        sync_tree(temporary) if temporary.is_dir() else sync_file(temporary)
        replace(path, temporary)
    except BaseException as error:
        is_full = met_full_disk(error, path.parent)
        remove(temporary)
        if is_full:
            raise AigcError(f"{path} is not written: the disk is full", "make room, or choose another -o") from error
        raise
    sync_folder(path.parent)


def replace(path: Path, temporary: Path) -> None:
    """A folder is renamed away before the new one comes, for none can be renamed over it."""
    if not path.is_dir():
        os.replace(temporary, path)
        return
    old = hidden_name(path, "old")
    os.rename(path, old)
    try:
        os.rename(temporary, path)
    except BaseException:
        os.rename(old, path)
        raise
    remove(old)


def clear_leftovers(path: Path) -> None:
    """Removes what killed exports to `path` left beside it, once what one of them was about to replace is back."""
    olds, temporaries = (list(path.parent.glob(glob.escape(hidden_stem(path, state)) + "*")) for state in ("old", "tmp"))
    if olds and not path.exists():
        os.rename(olds.pop(), path)
    for left in (*olds, *temporaries):
        remove(left)


def hidden_name(path: Path, state: str) -> Path:
    return path.with_name(hidden_stem(path, state) + secrets.token_hex(4))


def hidden_stem(path: Path, state: str) -> str:
    return f".{path.name[:64]}.{state}-"


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)

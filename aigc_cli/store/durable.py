"""Files that outlast a power cut, and disks that are full."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aigc_cli.atomic_file import umask
from aigc_cli.core.errors import AigcError

FULL = 2**16  # bytes free, and no more: less than any file of a checkpoint wants


def files_below(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)


def size_below(folder: Path) -> int:
    """Bytes of all files; 0 for a folder that is not there."""
    return sum(path.stat().st_size for path in files_below(folder))


def sync_file(path: Path) -> None:
    with path.open("r+b" if os.name == "nt" else "rb") as file:  # Windows syncs only what is open for writing
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder last: those that were made, renamed or removed."""
    if os.name == "nt":
        return  # a folder cannot be opened there
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Makes all that lies in a folder last, itself included; a name is synced after what it stands for.

    Files get the rights that any new file has: safetensors keeps its own to the owner.
    """
    rights = 0o666 & ~umask()
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            with contextlib.suppress(OSError):  # some file systems know no rights
                Path(parent, name).chmod(rights)
            sync_file(Path(parent, name))
        sync_folder(Path(parent))


def met_full_disk(error: BaseException, folder: Path) -> bool:
    """Whether a write in `folder` failed for want of room. To be asked before what was written is removed.

    torch and safetensors raise errors of their own: the one says nothing of the cause, the other only in its text.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    if isinstance(error, AigcError) or not isinstance(error, Exception):
        return False
    return "No space left" in str(error) or shutil.disk_usage(folder).free < FULL


@contextmanager
def room_wanted(folder: Path) -> Iterator[None]:
    """Raises: AigcError in place of the OSError of a full disk."""
    try:
        yield
    except OSError as error:
        if met_full_disk(error, folder):
            raise AigcError(
                f"no room is left in {folder}", "make room, and give the same command again: what is done stays done"
            ) from error
        raise

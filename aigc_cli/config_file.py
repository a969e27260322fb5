"""Changes one value of a TOML file and leaves everything else, comments too, as it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from aigc_cli.atomic_file import replace_file
from aigc_cli.core.errors import AigcError, UsageError


def set_value(path: Path, key: str, value: Any, table: str = "") -> None:
    """Sets `key`, at the top or in `table`, making file, folders and table where they are not there yet.

    Raises: UsageError for a file that is no TOML; AigcError when it cannot be written.
    """
    document = read(path)
    entries: Any = document.setdefault(table, tomlkit.table()) if table else document
    entries[key] = value
    write(path, tomlkit.dumps(document))


def unset_value(path: Path, key: str, table: str = "") -> bool:
    """Takes `key` out. Returns: whether it was there; if not, the file is not touched. Raises as set_value."""
    document = read(path)
    entries: Any = document.get(table, {}) if table else document
    if key not in entries:
        return False
    del entries[key]
    write(path, tomlkit.dumps(document))
    return True


def read(path: Path) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(path.read_bytes().decode())
    except (FileNotFoundError, NotADirectoryError):
        return tomlkit.document()
    except (TOMLKitError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}", "mend the file, or move it away") from error
    except OSError as error:
        raise AigcError(f"{path} cannot be read: {error.strerror}", "set AIGC_HOME to a folder of your own") from error


def write(path: Path, text: str) -> None:
    try:
        path.resolve().parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode())
    except OSError as error:
        raise AigcError(f"{path} cannot be written: {error.strerror}", "set AIGC_HOME to a folder that you may write to") from error

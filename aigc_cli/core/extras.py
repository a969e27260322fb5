"""Packages that only some commands take: where one is missing, the error says how to get it, with torch left as it is."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from contextlib import contextmanager

from aigc_cli.core.errors import AigcError

PINNED = "-c constraints.txt"  # lies in the clone


@contextmanager
def extra(name: str, purpose: str) -> Iterator[None]:
    """Stands around the imports of the extra's packages; `purpose` begins the sentence, such as "BLEU".

    Raises: AigcError with the command that installs the extra.
    """
    try:
        yield
    except ImportError as error:
        package = (error.name or name).partition(".")[0]
        is_missing = isinstance(error, ModuleNotFoundError)
        what = "is not installed" if is_missing else f"cannot be imported: {error}"
        raise AigcError(f"{purpose} needs the package {package}, which {what}", install_hint(name)) from error


def install_hint(name: str) -> str:
    """How an extra is installed without another torch."""
    index = torch_index()
    more = f"--extra-index-url {index} " if index else ""
    return f"in the folder of the clone: pip install {PINNED} {more}'.[{name}]'"


def torch_index() -> str | None:
    """Where the build of torch comes from that is installed, as 2.13.0+cpu does; None for PyPI's, whose version has no such tag."""
    try:
        _, _, build = importlib.metadata.version("torch").partition("+")
    except importlib.metadata.PackageNotFoundError:
        return None
    return f"https://download.pytorch.org/whl/{build}" if build else None

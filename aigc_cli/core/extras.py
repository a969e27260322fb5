"""Packages that only some commands take: where one is missing, the error says how to get it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aigc_cli.core.errors import AigcError


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
        raise AigcError(f"{purpose} needs the package {package}, which {what}", f"pip install 'aigc-cli[{name}]'") from error

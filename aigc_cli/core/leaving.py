"""What is still done when a signal makes the process leave at once, with nothing closed that is open."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LAST: list[Callable[[], None]] = []


@contextmanager
def before_leaving(do: Callable[[], None]) -> Iterator[None]:
    """Until its end, this is done before the process leaves; in a moment, and maybe in the middle of anything else."""
    LAST.append(do)
    try:
        yield
    finally:
        LAST.remove(do)


def do_last() -> None:
    """The latest first. What fails keeps nothing else from being done."""
    for do in reversed(LAST):
        with contextlib.suppress(Exception):
            do()

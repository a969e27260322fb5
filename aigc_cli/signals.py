"""What Ctrl-C and SIGTERM do: raise where something is open that must be closed, leave at once where nothing is."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from aigc_cli.core.errors import ExitStatus

STATUSES = {signal.SIGINT: ExitStatus.INTERRUPTED, signal.SIGTERM: ExitStatus.TERMINATED}


class Terminated(BaseException):
    """SIGTERM, as an exception, so that what is open gets closed."""


def raise_terminated(signum: int, frame: FrameType | None) -> NoReturn:
    raise Terminated


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """While libraries are imported and weights are read: there, an exception may be swallowed or end as another error.

    Nothing has been written yet that could be lost.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.signal(number, leave) for number in STATUSES}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def leave(signum: int, frame: FrameType | None) -> NoReturn:
    if os.isatty(2):
        os.write(2, b"\n")  # a line that says what is being loaded may stand there
    os._exit(STATUSES[signal.Signals(signum)])

"""What Ctrl-C, SIGTERM and SIGHUP do: raise where something is open that must be closed, leave at once where nothing is,
wait where work should come to an end of its own.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from aigc_cli.core.errors import ExitStatus
from aigc_cli.core.leaving import do_last

STATUSES = {signal.SIGINT: ExitStatus.INTERRUPTED, signal.SIGTERM: ExitStatus.TERMINATED}
HANG_UP = getattr(signal, "SIGHUP", None)  # the terminal is gone; Windows has no such signal
if HANG_UP is not None:
    STATUSES[HANG_UP] = ExitStatus.TERMINATED


class Terminated(BaseException):
    """SIGTERM or SIGHUP, as an exception, so that what is open gets closed."""


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
    previous = {number: signal.signal(number, leave) for number in STATUSES if signal.getsignal(number) != signal.SIG_IGN}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def leave(signum: int, frame: FrameType | None) -> NoReturn:
    tell(b"")
    do_last()
    os._exit(STATUSES[signal.Signals(signum)])


def tell(line: bytes) -> None:
    """Writes to stderr at once, also in the middle of a write; a line that says what is being done may stand there."""
    with contextlib.suppress(OSError):  # the terminal may be what is gone
        os.write(2, b"\n" + line if os.isatty(2) else line)


@dataclass
class Pending:
    """The signal that came while signals were deferred; None until one does."""

    number: signal.Signals | None = None

    def raise_pending(self) -> None:
        """Does now what the signal would have done then. Raises: KeyboardInterrupt for Ctrl-C, Terminated for the others."""
        if self.number is not None:
            raise KeyboardInterrupt if self.number is signal.SIGINT else Terminated


@contextmanager
def deferred() -> Iterator[Pending]:
    """Lets work that asks for `number` stop where nothing is lost; the same signal again leaves at once, which Ctrl-C says.

    Off the main thread, where Python delivers no signals, none is ever pending. A signal that the process was told to
    ignore, as under nohup, stays ignored.
    """
    pending = Pending()
    if threading.current_thread() is not threading.main_thread():
        yield pending
        return

    def note(signum: int, frame: FrameType | None) -> None:
        if pending.number == signum and signum != HANG_UP:  # of which the system and the shell each send one
            leave(signum, frame)
        if signum == signal.SIGINT and pending.number is None:
            tell(b"aigc: saving; press Ctrl-C again to leave at once\n")
        pending.number = pending.number or signal.Signals(signum)

    previous = {number: signal.signal(number, note) for number in STATUSES if signal.getsignal(number) != signal.SIG_IGN}
    try:
        yield pending
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

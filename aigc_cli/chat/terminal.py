"""Signals and keys: what must not tear an answer, or the terminal, apart."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import NoReturn

try:
    import termios
except ImportError:  # Windows: nothing is echoed there while nothing reads
    termios = None  # type: ignore[assignment]


@contextmanager
def one_interrupt() -> Iterator[None]:
    """Lets Ctrl-C raise KeyboardInterrupt once: pressed again while the answer is put away, it does nothing."""

    def interrupt(signum: int, frame: FrameType | None) -> NoReturn:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


@contextmanager
def deferred_sigterm(stop: Callable[[], bool]) -> Iterator[None]:
    """While the line editor owns the terminal, SIGTERM stops it first; the handler that was there acts afterwards.

    An exception raised in the editor's event loop could be swallowed there. stop: returns False when the editor is
    not running; the handler that was there then acts at once.
    """
    received = False

    def handle(signum: int, frame: FrameType | None) -> None:
        nonlocal received
        received = stop()
        if not received:
            signal.signal(signal.SIGTERM, previous)
            signal.raise_signal(signal.SIGTERM)

    previous = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
        if received:
            signal.raise_signal(signal.SIGTERM)


def keys_wait() -> AbstractContextManager[None]:
    """Keys pressed while nothing reads them wait, as they are, for the next prompt; none is drawn into an answer."""
    return local_modes(lambda flags: flags & ~(termios.ECHO | termios.ICANON))


def line_mode() -> AbstractContextManager[None]:
    """For a question that is asked outside of the line editor: the terminal echoes and edits the reply."""
    return local_modes(lambda flags: flags | termios.ECHO | termios.ICANON)


@contextmanager
def local_modes(change: Callable[[int], int]) -> Iterator[None]:
    """Changes the terminal's local modes (c_lflag), and puts them back. Without a terminal, nothing."""
    if termios is None or not sys.stdin.isatty():
        yield
        return
    descriptor = sys.stdin.fileno()
    before, changed = termios.tcgetattr(descriptor), termios.tcgetattr(descriptor)
    changed[3] = change(before[3])
    termios.tcsetattr(descriptor, termios.TCSANOW, changed)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)

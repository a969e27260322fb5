"""A library that calls back -> an iterator that raises, ends and can be closed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from typing import Any, TypeVar

T = TypeVar("T")
Emit = Callable[[T], None]


class Stopped(BaseException):
    """Raised out of `emit` once nobody listens any more, so that the library unwinds. Not an Exception: none shall swallow it."""


class End:
    """The last thing handed over. failure: what the work raised."""

    def __init__(self, failure: BaseException | None) -> None:
        self.failure = failure


def pump(work: Callable[[Emit[T]], None]) -> Generator[T, None, None]:
    """Runs `work` in a thread of its own and yields what it emits, each only once the one before was taken.

    What work raises is raised here. Closing the generator makes the next `emit` raise Stopped, and waits for the thread.
    """
    handed: queue.Queue[Any] = queue.Queue(maxsize=1)
    closing = threading.Event()
    thread = threading.Thread(target=run, args=(work, handed, closing), daemon=True)
    thread.start()
    try:
        while not isinstance(item := handed.get(), End):
            yield item
        if item.failure:
            raise item.failure
    finally:
        closing.set()
        while thread.is_alive():
            empty(handed)  # the thread may be waiting for room
            thread.join(timeout=0.01)


def run(work: Callable[[Emit[T]], None], handed: queue.Queue[Any], closing: threading.Event) -> None:
    """The thread's whole life."""

    def emit(item: T) -> None:
        if not closing.is_set():
            handed.put(item)
        if closing.is_set():
            raise Stopped

    failure: BaseException | None = None
    try:
        work(emit)
    except Stopped:
        pass
    except BaseException as error:  # it is raised on the other side
        failure = error
    handed.put(End(failure))


def empty(handed: queue.Queue[Any]) -> None:
    try:
        while True:
            handed.get_nowait()
    except queue.Empty:
        return

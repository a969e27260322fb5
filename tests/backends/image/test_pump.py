"""A library that calls back becomes an iterator that raises, ends and can be closed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from aigc_cli.backends.image.pump import pump

Emit = Callable[[int], None]


def test_what_is_emitted_is_yielded_in_order() -> None:
    assert list(pump(lambda emit: [emit(number) for number in range(5)] and None)) == [0, 1, 2, 3, 4]


def test_what_the_work_raises_is_raised_here_after_what_came_before() -> None:
    def work(emit: Emit) -> None:
        emit(1)
        raise ValueError("broken")

    stream = pump(work)
    assert next(stream) == 1
    with pytest.raises(ValueError, match="broken"):
        next(stream)


def test_closing_raises_out_of_the_next_emit_and_waits_for_the_thread() -> None:
    log = []

    def work(emit: Emit) -> None:
        try:
            for number in range(1000):
                time.sleep(0.001)
                emit(number)
        finally:
            log.append("unwound")

    before = threading.active_count()
    stream = pump(work)
    assert next(stream) == 0
    stream.close()
    assert log == ["unwound"]
    assert threading.active_count() == before


def test_the_work_is_never_far_ahead() -> None:
    done = []

    def work(emit: Emit) -> None:
        for number in range(10):
            done.append(number)
            emit(number)

    stream = pump(work)
    next(stream)
    time.sleep(0.05)
    assert len(done) <= 3
    stream.close()


def test_an_exception_of_the_reader_stops_the_work() -> None:
    before = threading.active_count()
    stream = pump(lambda emit: [emit(number) for number in range(1000)] and None)
    next(stream)
    with pytest.raises(KeyboardInterrupt):
        stream.throw(KeyboardInterrupt)
    assert threading.active_count() == before


def test_a_library_that_swallows_exceptions_is_stopped_all_the_same() -> None:
    def work(emit: Emit) -> None:
        for number in range(100):
            try:
                emit(number)
            except Exception:
                pytest.fail("it was swallowed")

    stream = pump(work)
    next(stream)
    stream.close()

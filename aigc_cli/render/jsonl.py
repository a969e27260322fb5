"""Events as JSON lines on stdout."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace

from aigc_cli.core.errors import AigcError
from aigc_cli.core.events import Event, Loaded, Progress
from aigc_cli.render.output import Output

PROGRESS_INTERVAL = 0.5  # seconds


def since_loaded(events: Iterable[Event]) -> Iterator[Event]:
    """The events with `t` counted from when the weights were loaded: an engine that is asked several times begins anew each time."""
    began: float | None = None
    for event in events:
        yield event if began is None else replace(event, t=time.monotonic() - began)
        if isinstance(event, Loaded):
            began = time.monotonic()


def render_json(events: Iterable[Event], output: Output) -> None:
    """Writes every event as one line, of progress at most two a second, and an error as one more before it goes on."""
    try:
        said_at = 0.0
        for event in events:
            now = time.monotonic()
            if isinstance(event, Progress) and event.done != event.total and now - said_at < PROGRESS_INTERVAL:
                continue
            if isinstance(event, Progress):
                said_at = now
            output.write_event(event)
    except AigcError as error:
        output.write_json(error.to_json())
        error.is_in_json = True
        raise

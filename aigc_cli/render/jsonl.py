"""Events as JSON lines on stdout."""

from __future__ import annotations

import time
from collections.abc import Iterable

from aigc_cli.core.errors import AigcError
from aigc_cli.core.events import Event, Progress
from aigc_cli.render.output import Output

PROGRESS_INTERVAL = 0.5  # seconds


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

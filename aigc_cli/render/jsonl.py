"""Events as JSON lines on stdout."""

from __future__ import annotations

from collections.abc import Iterable

from aigc_cli.core.events import Done, Event
from aigc_cli.render.output import Output


def render_json(events: Iterable[Event], output: Output) -> Done | None:
    """Writes every event as one line. Returns: the Done event, or None when the stream had none."""
    done = None
    for event in events:
        output.write_event(event)
        if isinstance(event, Done):
            done = event
    return done

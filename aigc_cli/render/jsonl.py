"""Events as JSON lines on stdout."""

from __future__ import annotations

from collections.abc import Iterable

from aigc_cli.core.errors import AigcError
from aigc_cli.core.events import Event
from aigc_cli.render.output import Output


def render_json(events: Iterable[Event], output: Output) -> None:
    """Writes every event as one line, and an error as one more before it goes on to whoever reports it."""
    try:
        for event in events:
            output.write_event(event)
    except AigcError as error:
        output.write_json(error.to_json())
        error.is_in_json = True
        raise

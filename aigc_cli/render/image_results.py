"""A batch of pictures as JSON lines on stdout: a result for each picture, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

from aigc_cli.core.errors import AigcError
from aigc_cli.core.events import Event, ImageFailed, ImageRejected, ImageSaved
from aigc_cli.render.output import Output
from aigc_cli.render.text import show_remark

STATUSES = {ImageSaved: "done", ImageRejected: "rejected", ImageFailed: "failed"}


def render_results(events: Iterable[Event], output: Output) -> None:
    """Also pictures of earlier runs: all of the batch is told. Remarks go to stderr, an error is the last line."""
    try:
        for event in events:
            if status := STATUSES.get(type(event)):
                fields = {name: value for name, value in event.to_json().items() if name not in ("event", "t")}
                output.write_json({"index": fields.pop("index"), "status": status, **fields})
            else:
                show_remark(event, output)
    except AigcError as error:
        output.write_json(error.to_json())
        error.is_in_json = True
        raise
    finally:
        output.clear_progress()

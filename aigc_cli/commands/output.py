"""What commands share on the side of their output."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TypeVar

from aigc_cli.core.events import Event
from aigc_cli.options import OutputOptions
from aigc_cli.render.output import Output
from aigc_cli.render.text import show_remark
from aigc_cli.settings import Settings, load_settings

T = TypeVar("T")


def open_output(options: OutputOptions, file: Path | None = None) -> Output:
    """The process's streams, as the user wants them; `file` takes stdout's place."""
    return Output(quiet=options.quiet, verbose=options.verbose, json=options.json, file=file)


def read_settings(output: Output) -> Settings:
    """The settings, with a word on files of which nothing counts. Raises: UsageError as load_settings."""
    settings = load_settings()
    for path in settings.unreadable:
        output.caution(f"{path} cannot be read, so nothing in it counts", "give yourself the right to read it")
    return settings


def follow(events: Generator[Event, None, T], output: Output) -> T:
    """Shows events as they come, and returns what their generator does."""
    try:
        while True:
            event = next(events)
            if output.json:
                output.write_event(event)
            else:
                show_remark(event, output)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        output.clear_progress()

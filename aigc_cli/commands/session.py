"""What `complete` and `chat` share: from options and settings to an open engine."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from aigc_cli.core.engine import EngineOptions, ModelSource, TextEngine
from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Caution, Event
from aigc_cli.core.request import Message, TextRequest
from aigc_cli.options import LengthOptions, ModelOptions, SamplingOptions
from aigc_cli.settings import PROJECT_FILE, Settings, folders, remote_model_refused
from aigc_cli.signals import leaving_at_once

if TYPE_CHECKING:
    from aigc_cli.models.adapters import Adapter
    from aigc_cli.render.output import Output


def open_engine(options: ModelOptions, settings: Settings) -> Generator[Event, None, TextEngine]:
    """Resolves the model's name, downloads what is missing, and loads it with its adapters. Yields progress; returns the engine.

    Adapters are looked at before anything is downloaded.
    """
    from aigc_cli.models.adapters import find_adapter
    from aigc_cli.models.names import is_remote
    from aigc_cli.models.resolve import resolve
    from aigc_cli.render.confirm import terminal_confirm

    name = model_name(options, settings)
    if options.base_url and not is_remote(name):
        raise UsageError("--base-url belongs to a remote model", "name it with -m openai:NAME")
    adapters = [find_adapter(text) for text in options.adapter or ()]
    source: ModelSource = yield from resolve(name, assume_yes=options.yes, confirm=terminal_confirm())
    source = yield from with_adapters(source, adapters)

    from aigc_cli.backends import open_text_engine

    opened = engine_options(options, settings, is_remote=source.kind == "openai")
    return open_text_engine(source, dataclasses.replace(opened, adapters=tuple((adapter.path, adapter.scale) for adapter in adapters)))


def with_adapters(source: ModelSource, adapters: Sequence[Adapter]) -> Generator[Event, None, ModelSource]:
    """The model, meant for what its last adapter was trained for. Yields a word on a name or revision that differs."""
    from aigc_cli.models.adapters import is_trained_on

    for adapter in adapters:
        if source.kind != "openai" and not is_trained_on(adapter, source):
            yield Caution(
                message=f"the adapter {adapter.path} says that it was trained on {adapter.base}, not on {source.name}",
                hint="it is used all the same if its shapes fit",
            )
        elif source.repo and source.repo == adapter.base and adapter.revision not in (None, source.revision):
            yield Caution(
                message=f"the adapter {adapter.path} was trained on revision {adapter.revision} of {source.repo}, not on {source.revision}",
                hint=f"for the one it was trained on: -m {source.repo}@{adapter.revision}",
            )
        source = dataclasses.replace(source, mode=adapter.mode or source.mode)
    return source


def model_name(options: ModelOptions, settings: Settings) -> str:
    """Raises: UsageError for a project file that names a remote model, perhaps by one of the user's own aliases."""
    from aigc_cli.models.names import is_remote

    chosen = settings.lookup("model", options.model)
    if chosen.origin == PROJECT_FILE and is_remote(chosen.value):
        raise remote_model_refused(chosen.origin)
    return str(chosen.value)


def run_request(request: TextRequest, options: ModelOptions, settings: Settings) -> Iterator[Event]:
    """Everything that happens, from the model's name to the last token."""
    with leaving_at_once():
        engine = yield from open_engine(options, settings)
    try:
        yield engine.loaded
        if request.num_beams > 1:
            yield Caution(message="beam search: the text comes at the end, all at once")
        yield from engine.stream(request)
    finally:
        engine.close()


def note_built_in_model(given: str | None, settings: Settings, output: Output, key: str = "model") -> None:
    """Says on the first run, to a person who chose no model, that the default one is small and how to get another.

    key: the setting that names one for this command; each kind of model is introduced once.
    """
    chosen = settings.lookup(key, given)
    if chosen.origin != "default" or not chosen.value or output.quiet or not output.stderr_is_terminal:
        return
    marker = folders().data / ("introduced" if key == "model" else f"introduced_{key}")
    try:
        if marker.exists():
            return
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
    except OSError:
        pass  # it will be said again next time
    output.note(f"This is {chosen.value}, the small model that comes with aigc. For a bigger one: aigc models list, then -m NAME.")


def engine_options(options: ModelOptions, settings: Settings, *, is_remote: bool) -> EngineOptions:
    """A remote engine refuses a device that is asked of it; one that is only a standing setting is not asked of it."""

    def local(key: str, given: str | None) -> str:
        return str(given or "auto") if is_remote else str(settings.get(key, given))

    return EngineOptions(
        device=local("device", options.device),
        dtype=local("dtype", options.dtype),
        base_url=settings.get("base_url", options.base_url),
        api_key=os.environ.get(settings.get("api_key_env")),
        api_key_env=settings.get("api_key_env"),
        timeout=settings.get("timeout"),
    )


SETTINGS_OF_DRAWING = ("temperature", "top_p")
SETTINGS_OF_DRAWING_HERE = ("top_k", "min_p")
SETTINGS_HERE = ("repetition_penalty", "truncate")  # a remote model takes none of them


def standing_options(options: ModelOptions, settings: Settings, *, draws: bool = True) -> dict[str, Any]:
    """What the settings ask of a request, as far as this kind of model takes it. draws: tokens, which beam search does not."""
    from aigc_cli.models.names import is_remote

    is_local = not is_remote(model_name(options, settings))
    keys = ["max_new_tokens"]
    keys += SETTINGS_OF_DRAWING if draws else ()
    keys += SETTINGS_OF_DRAWING_HERE if draws and is_local else ()
    keys += SETTINGS_HERE if is_local else ()
    return {key: value for key in keys if (value := settings.get(key)) is not None}


def fill_in(standing: Mapping[str, Any], *groups: SamplingOptions | LengthOptions) -> None:
    """Gives the options that the command line left open the values that stand for them."""
    for group in groups:
        for key, value in standing.items():
            if getattr(group, key, value) is None:
                setattr(group, key, value)


def conversation(text: str, system: str | None) -> tuple[Message, ...]:
    messages = (Message("user", text),)
    return (Message("system", system), *messages) if system else messages

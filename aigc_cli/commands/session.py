"""What `complete` and `chat` share: from options to an open engine and a request."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from aigc_cli.core.engine import EngineOptions, ModelSource, TextEngine
from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Caution, Event
from aigc_cli.core.request import Message, Mode, TextRequest
from aigc_cli.options import LengthOptions, ModelOptions, SamplingOptions, Truncation
from aigc_cli.settings import Settings, folders

if TYPE_CHECKING:
    from aigc_cli.render.output import Output


def open_engine(options: ModelOptions, settings: Settings) -> Generator[Event, None, TextEngine]:
    """Resolves the model's name, downloads what is missing, and loads it. Yields progress; returns the engine."""
    from aigc_cli.models.resolve import resolve
    from aigc_cli.render.confirm import terminal_confirm

    name = settings.get("model", options.model)
    source: ModelSource = yield from resolve(name, assume_yes=options.yes, confirm=terminal_confirm())
    if source.kind != "openai" and options.base_url:
        raise UsageError("--base-url belongs to a remote model", "name it with -m openai:NAME")

    from aigc_cli.backends import open_text_engine

    return open_text_engine(source, engine_options(options, settings, is_remote=source.kind == "openai"))


def run_request(request: TextRequest, options: ModelOptions, settings: Settings) -> Iterator[Event]:
    """Everything that happens, from the model's name to the last token."""
    engine = yield from open_engine(options, settings)
    try:
        yield engine.loaded
        if request.num_beams > 1:
            yield Caution(message="beam search: the text comes at the end, all at once")
        yield from engine.stream(request)
    finally:
        engine.close()


def note_built_in_model(options: ModelOptions, settings: Settings, output: Output) -> None:
    """Says on the first run, to a person who chose no model, that the default one is small and how to get another."""
    if settings.lookup("model", options.model).origin != "default" or output.quiet or not output.stderr_is_terminal:
        return
    marker = folders().data / "introduced"
    try:
        if marker.exists():
            return
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
    except OSError:
        pass  # it will be said again next time
    output.note("This is builtin:text, the small model that comes with aigc. For a bigger one: aigc models list, then -m NAME.")


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


SETTINGS_FOR_ALL = ("temperature", "top_p", "max_new_tokens")
SETTINGS_FOR_LOCAL_MODELS = ("top_k", "min_p", "repetition_penalty", "truncate")


def with_settings(options: ModelOptions, sampling: SamplingOptions, length: LengthOptions, settings: Settings) -> None:
    """Fills in, from the settings, what the command line left open and this kind of model takes."""
    is_remote = settings.get("model", options.model).startswith("openai:")
    for key in SETTINGS_FOR_ALL if is_remote else SETTINGS_FOR_ALL + SETTINGS_FOR_LOCAL_MODELS:
        group = sampling if hasattr(sampling, key) else length
        setattr(group, key, settings.get(key, getattr(group, key)))


def conversation(text: str, system: str | None) -> tuple[Message, ...]:
    messages = (Message("user", text),)
    return (Message("system", system), *messages) if system else messages


def text_request(
    messages: tuple[Message, ...],
    mode: Mode,
    sampling: SamplingOptions,
    length: LengthOptions,
    *,
    n: int = 1,
    num_beams: int = 1,
    early_stopping: bool = False,
    length_penalty: float | None = None,
) -> TextRequest:
    """Raises: UsageError naming the option that is out of range."""
    return TextRequest(
        messages=messages,
        mode=mode,
        sampling=sampling.to_sampling(),
        max_new_tokens=length.max_new_tokens,
        min_new_tokens=length.min_new_tokens or 0,
        stop=tuple(length.stop or ()),
        truncate=Truncation(length.truncate).value if length.truncate else None,
        seed=sampling.seed,
        n=n,
        num_beams=num_beams,
        early_stopping=early_stopping,
        length_penalty=length_penalty,
    )

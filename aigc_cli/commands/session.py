"""What `complete` and `chat` share: from options to an open engine and a request."""

from __future__ import annotations

from collections.abc import Generator

from aigc_cli.core.engine import EngineOptions, ModelSource, TextEngine
from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Event
from aigc_cli.core.request import Message, Mode, TextRequest
from aigc_cli.options import LengthOptions, ModelOptions, SamplingOptions
from aigc_cli.settings import Settings


def open_engine(options: ModelOptions, settings: Settings) -> Generator[Event, None, TextEngine]:
    """Resolves the model's name, downloads what is missing, and loads it. Yields progress; returns the engine."""
    from aigc_cli.models.resolve import resolve

    name = settings.get("model", options.model)
    source: ModelSource = yield from resolve(name, assume_yes=options.yes)
    if source.kind != "openai" and options.base_url:
        raise UsageError("--base-url belongs to a remote model", "name it with -m openai:NAME")

    from aigc_cli.backends import open_text_engine

    return open_text_engine(source, engine_options(options, settings))


def engine_options(options: ModelOptions, settings: Settings) -> EngineOptions:
    import os

    return EngineOptions(
        device=settings.get("device", options.device),
        dtype=str(settings.get("dtype", options.dtype)),
        base_url=settings.get("base_url", options.base_url),
        api_key=os.environ.get(settings.get("api_key_env")),
        timeout=settings.get("timeout"),
    )


def with_settings(sampling: SamplingOptions, length: LengthOptions, settings: Settings) -> None:
    """Fills in, from the settings, what the command line left open."""
    for options, keys in (
        (sampling, ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")),
        (length, ("max_new_tokens", "truncate")),
    ):
        for key in keys:
            setattr(options, key, settings.get(key, getattr(options, key)))


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
        truncate=length.truncate.value if length.truncate else None,
        seed=sampling.seed,
        n=n,
        num_beams=num_beams,
        early_stopping=early_stopping,
        length_penalty=length_penalty,
    )

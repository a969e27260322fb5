"""`aigc complete`: text in, text out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from aigc_cli.commands.session import conversation, open_engine, text_request, with_settings
from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Caution, Event
from aigc_cli.core.request import Mode, TextRequest
from aigc_cli.options import LENGTH, OUTPUT, Files, LengthOptions, ModelOptions, OutputOptions, SamplingOptions, System
from aigc_cli.settings import Settings, load_settings
from aigc_cli.text_input import gather_text


def complete(
    model: ModelOptions,
    sampling: SamplingOptions,
    length: LengthOptions,
    output: OutputOptions,
    prompt: Annotated[str | None, typer.Argument(help="The text or instruction; stands after stdin and files. - is stdin.")] = None,
    files: Files = None,
    system: System = None,
    raw: Annotated[bool, typer.Option("--raw", help="Continue the text as it stands, without the chat template.", rich_help_panel="Input")] = False,
    instruct: Annotated[bool, typer.Option("--instruct", help="Treat the text as a message to answer.", rich_help_panel="Input")] = False,
    n: Annotated[int, typer.Option("-n", help="Completions to make.", rich_help_panel=LENGTH)] = 1,
    separator: Annotated[str, typer.Option(help="Line between completions.", rich_help_panel=OUTPUT)] = "---",
    num_beams: Annotated[int, typer.Option(help="Beam search with this many beams; the text comes at the end.", rich_help_panel=LENGTH)] = 1,
    early_stopping: Annotated[bool, typer.Option("--early-stopping", help="End beam search when enough beams have ended.", rich_help_panel=LENGTH)] = False,
    length_penalty: Annotated[float | None, typer.Option(help="Beam search: above 0 favours long texts.", rich_help_panel=LENGTH)] = None,
) -> None:
    """Continue a text, or follow an instruction on one."""
    if raw and instruct:
        raise UsageError("--raw and --instruct contradict each other", "leave out one of the two")
    settings = load_settings()
    text = gather_text(prompt, files or [])
    with_settings(sampling, length, settings)
    mode: Mode = "raw" if raw else "chat" if instruct or system else "auto"
    request = text_request(
        conversation(text, system or (settings.get("system") if mode == "chat" else None)),
        mode,
        sampling,
        length,
        n=n,
        num_beams=num_beams,
        early_stopping=early_stopping,
        length_penalty=length_penalty,
    )
    show(events(request, model, settings), output, separator)


def events(request: TextRequest, model: ModelOptions, settings: Settings) -> Iterator[Event]:
    """Everything that happens, from the model's name to the last token."""
    engine = yield from open_engine(model, settings)
    try:
        yield engine.loaded
        if request.num_beams > 1:
            yield Caution(message="beam search: the text comes at the end, all at once")
        yield from engine.stream(request)
    finally:
        engine.close()


def show(events: Iterator[Event], options: OutputOptions, separator: str) -> None:
    from aigc_cli.render.jsonl import render_json
    from aigc_cli.render.output import Output
    from aigc_cli.render.text import render_text

    output = Output(quiet=options.quiet, verbose=options.verbose, json=options.json)
    if options.json:
        render_json(events, output)
    else:
        render_text(events, output, separator)

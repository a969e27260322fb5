"""`aigc chat`: a conversation in the terminal, or one reply."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aigc_cli.commands.session import note_built_in_model, open_engine, run_request, with_settings
from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Event
from aigc_cli.options import Files, LengthOptions, ModelOptions, OutputOptions, SamplingOptions, System
from aigc_cli.settings import Settings, folders, load_settings
from aigc_cli.text_input import gather_text, read_text

if TYPE_CHECKING:
    from aigc_cli.chat.transcript import Transcript
    from aigc_cli.core.engine import TextEngine
    from aigc_cli.render.output import Output


def chat(
    model: ModelOptions,
    sampling: SamplingOptions,
    length: LengthOptions,
    options: OutputOptions,
    message: Annotated[str | None, typer.Argument(help="One message to answer; stands after stdin and files. - is stdin.")] = None,
    files: Files = None,
    system: System = None,
    load: Annotated[
        Path | None, typer.Option("--load", help="Go on with a conversation that /save wrote.", rich_help_panel="Input")
    ] = None,
) -> None:
    """Talk with a model; with a message, or one piped in, one reply and out."""
    from aigc_cli.chat.parameters import build_request
    from aigc_cli.chat.session import to_messages
    from aigc_cli.render.output import Output

    settings = load_settings()
    output = Output(quiet=options.quiet, verbose=options.verbose, json=options.json)
    before = beginning(load, system, model, sampling, length, settings)
    if message is None and sys.stdin is not None and sys.stdin.isatty():
        attached = [read_text(path).strip("\n") for path in files or []]
        talk(before, attached, model, settings, output, with_traceback=options.traceback)
        return
    text = "\n\n".join(filter(None, [before.question, gather_text(message, files or [])]))
    request = build_request(to_messages(before.system, before.turns, text), before.parameters)
    note_built_in_model(model, settings, output)
    reply(run_request(request, model, settings), output)


def beginning(
    load: Path | None,
    system: str | None,
    model: ModelOptions,
    sampling: SamplingOptions,
    length: LengthOptions,
    settings: Settings,
) -> Transcript:
    """What was said before, and the settings: the command line's, else the file's, else the user's own."""
    from aigc_cli.chat.parameters import checked, from_options
    from aigc_cli.chat.transcript import Transcript, load_transcript

    loaded = load_transcript(load) if load else Transcript(())
    given = from_options(sampling, length)
    with_settings(model, sampling, length, settings)
    return dataclasses.replace(
        loaded,
        system=settings.get("system", loaded.system if system is None else system),
        parameters=checked({**from_options(sampling, length), **loaded.parameters, **given}),
    )


def reply(events: Iterator[Event], output: Output) -> None:
    """One answer: JSON lines, Markdown on a terminal, or the text as it is."""
    if output.json:
        from aigc_cli.render.jsonl import render_json

        render_json(events, output)
    else:
        from aigc_cli.render.chat import render_answer

        render_answer(events, output)


def talk(before: Transcript, attached: list[str], model: ModelOptions, settings: Settings, output: Output, *, with_traceback: bool) -> None:
    """The session. The line editor is imported for it alone."""
    if output.json:
        raise UsageError("--json is for one reply", "give a MESSAGE, or pipe one in")
    if not (output.stdout_is_terminal or output.stderr_is_terminal):
        raise UsageError("a session needs a terminal to draw on", "give a MESSAGE, or pipe one in")
    note_built_in_model(model, settings, output)

    def open_model(name: str) -> TextEngine:
        base_url = model.base_url if name.startswith("openai:") else None
        with line_mode():
            return open_with_status(dataclasses.replace(model, model=name, base_url=base_url), settings, output)

    engine = open_with_status(model, settings, output)

    from aigc_cli.chat.loop import converse
    from aigc_cli.chat.prompt import LineEditor
    from aigc_cli.chat.session import Session
    from aigc_cli.chat.slash import Outcome
    from aigc_cli.chat.terminal import line_mode
    from aigc_cli.render.chat import ChatView

    session = Session(engine, open_model, before.parameters, before.system, list(before.turns), attached, file=before.file)
    try:
        output.note(f"{engine.loaded.model} on {engine.loaded.device} in {engine.loaded.dtype} · /help lists the commands")
        editor = LineEditor(folders().data / "chat_history", output.note, None if output.stdout_is_terminal else sys.stderr)
        converse(session, editor, ChatView(output, with_traceback=with_traceback), Outcome(draft=before.question))
    finally:
        session.engine.close()


def open_with_status(model: ModelOptions, settings: Settings, output: Output) -> TextEngine:
    """Loads a model, with a line that says so meanwhile."""
    from aigc_cli.render.text import show_remark

    opening = open_engine(model, settings)
    output.status(f"loading {settings.get('model', model.model)} …")
    try:
        while True:
            show_remark(next(opening), output)
    except StopIteration as end:
        loaded: TextEngine = end.value
        show_remark(loaded.loaded, output)
        return loaded
    finally:
        output.clear_progress()

"""`aigc chat`: a conversation in the terminal, or one reply."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aigc_cli.commands.output import follow, open_output, read_settings
from aigc_cli.commands.session import note_built_in_model, open_engine, run_request, standing_options
from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Event
from aigc_cli.options import Files, LengthOptions, ModelOptions, OutputOptions, SamplingOptions, System
from aigc_cli.settings import Settings, folders
from aigc_cli.signals import leaving_at_once
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
    from aigc_cli.chat.parameters import build_request, from_options
    from aigc_cli.chat.session import to_messages

    output = open_output(options)
    settings = read_settings(output)
    standing = standing_options(model, settings)
    before = beginning(load, system, from_options(sampling, length), standing, settings)
    if message is None and sys.stdin is not None and sys.stdin.isatty():
        attached = [read_text(path).strip("\n") for path in files or []]
        talk(before, attached, model, settings, output, with_traceback=options.traceback)
        return
    text = "\n\n".join(filter(None, [before.question, gather_text(message, files or [])]))
    request = build_request(to_messages(before.system, before.turns, text), {**standing, **before.parameters})
    note_built_in_model(model.model, settings, output)
    reply(run_request(request, model, settings), output)


def beginning(load: Path | None, system: str | None, given: dict[str, Any], standing: dict[str, Any], settings: Settings) -> Transcript:
    """What was said before, and the options: the command line's, else the file's. What is standing counts after both."""
    from aigc_cli.chat.parameters import checked
    from aigc_cli.chat.transcript import Transcript, load_transcript

    loaded = load_transcript(load) if load else Transcript(())
    parameters = {**loaded.parameters, **given}
    checked({**standing, **parameters})
    return dataclasses.replace(
        loaded,
        system=settings.get("system", loaded.system if system is None else system),
        parameters=parameters,
    )


def reply(events: Iterator[Event], output: Output) -> None:
    """One answer: JSON lines, Markdown on a terminal, or the text as it is."""
    if output.json:
        from aigc_cli.render.jsonl import render_json

        render_json(events, output)
    else:
        from aigc_cli.render.chat import render_answer
        from aigc_cli.render.text import show_figures

        if done := render_answer(events, output):
            show_figures(done, output)


def talk(before: Transcript, attached: list[str], model: ModelOptions, settings: Settings, output: Output, *, with_traceback: bool) -> None:
    """The session. The line editor is imported for it alone."""
    if output.json:
        raise UsageError("--json is for one reply", "give a MESSAGE, or pipe one in")
    if not (output.stdout_is_terminal or output.stderr_is_terminal):
        raise UsageError("a session needs a terminal to draw on", "give a MESSAGE, or pipe one in")
    note_built_in_model(model.model, settings, output)

    def open_model(name: str) -> tuple[TextEngine, dict[str, Any]]:
        other = dataclasses.replace(model, model=name, base_url=model.base_url if is_remote(name) else None, adapter=None)
        with line_mode():
            return open_with_status(other, settings, output), standing_options(other, settings)

    def open_base() -> TextEngine:
        output.note("for the first comparison, the model is loaded once more, without its adapter")
        return open_with_status(dataclasses.replace(model, adapter=None), settings, output)

    with leaving_at_once():
        engine = open_with_status(model, settings, output)

    from aigc_cli.chat.loop import converse
    from aigc_cli.chat.prompt import LineEditor
    from aigc_cli.chat.session import Session
    from aigc_cli.chat.slash import Outcome
    from aigc_cli.chat.terminal import line_mode
    from aigc_cli.models.names import is_remote
    from aigc_cli.render.chat import ChatView

    session = Session(
        engine,
        open_model,
        before.parameters,
        standing_options(model, settings),
        before.system,
        list(before.turns),
        attached,
        file=before.file,
        open_base=open_base if engine.loaded.adapters else None,
    )
    try:
        tuned = "".join(f" + {name}" for name in engine.loaded.adapters or ())
        output.note(f"{engine.loaded.model}{tuned} on {engine.loaded.device} in {engine.loaded.dtype} · /help lists the commands")
        editor = LineEditor(folders().data / "chat_history", output.note, None if output.stdout_is_terminal else sys.stderr)
        converse(session, editor, ChatView(output, with_traceback=with_traceback), Outcome(draft=before.question))
    finally:
        session.close()


def open_with_status(model: ModelOptions, settings: Settings, output: Output) -> TextEngine:
    """Loads a model, with a line that says so meanwhile."""
    from aigc_cli.render.text import show_remark

    output.status(f"loading {settings.get('model', model.model)} …")
    engine = follow(open_engine(model, settings), output)
    show_remark(engine.loaded, output)
    return engine

"""`aigc complete`: text in, text out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aigc_cli.commands.output import open_output, read_settings
from aigc_cli.commands.session import conversation, fill_in, note_built_in_model, run_request, standing_options
from aigc_cli.core.errors import UsageError
from aigc_cli.core.request import Mode
from aigc_cli.options import LENGTH, OUTPUT, Files, LengthOptions, ModelOptions, OutputOptions, SamplingOptions, System, text_request
from aigc_cli.render.jsonl import render_json
from aigc_cli.render.text import render_text, show_figures
from aigc_cli.text_input import gather_text


def complete(
    model: ModelOptions,
    sampling: SamplingOptions,
    length: LengthOptions,
    options: OutputOptions,
    prompt: Annotated[str | None, typer.Argument(help="The text or instruction; stands after stdin and files. - is stdin.")] = None,
    files: Files = None,
    system: System = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Continue the text as it stands, without the chat template.", rich_help_panel="Input")
    ] = False,
    instruct: Annotated[bool, typer.Option("--instruct", help="Treat the text as a message to answer.", rich_help_panel="Input")] = False,
    n: Annotated[int, typer.Option("-n", help="Completions to make.", rich_help_panel=LENGTH)] = 1,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the text to a file; - is stdout.", rich_help_panel=OUTPUT)
    ] = None,
    separator: Annotated[str, typer.Option(help="Line between completions.", rich_help_panel=OUTPUT)] = "---",
    num_beams: Annotated[
        int, typer.Option(help="Beam search with this many beams; the text comes at the end.", rich_help_panel=LENGTH)
    ] = 1,
    early_stopping: Annotated[
        bool, typer.Option("--early-stopping", help="End beam search when enough beams have ended.", rich_help_panel=LENGTH)
    ] = False,
    length_penalty: Annotated[float | None, typer.Option(help="Beam search: above 0 favours long texts.", rich_help_panel=LENGTH)] = None,
) -> None:
    """Continue a text, or follow an instruction on one."""
    if raw and instruct:
        raise UsageError("--raw and --instruct contradict each other", "leave out one of the two")
    screen = open_output(options, checked_file(output))
    settings = read_settings(screen)
    text = gather_text(prompt, files or [])
    fill_in(standing_options(model, settings, draws=num_beams == 1), sampling, length)
    mode: Mode = "raw" if raw else "chat" if instruct or system else "auto"
    request = text_request(
        conversation(text, system),
        mode,
        sampling,
        length,
        n=n,
        num_beams=num_beams,
        early_stopping=early_stopping,
        length_penalty=length_penalty,
    )
    note_built_in_model(model.model, settings, screen)
    events = run_request(request, model, settings)
    if options.json:
        render_json(events, screen)
    elif done := render_text(events, screen, separator):
        show_figures(done, screen)


def checked_file(path: Path | None) -> Path | None:
    """The file that -o names; None for stdout. Raises: UsageError, before anything slow, for one that could not be written."""
    file = None if path is None or str(path) == "-" else path
    if file and file.is_dir():
        raise UsageError(f"{file} is a folder, not a file", "name a file after -o")
    if file and not file.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {file.parent}", "create it first")
    return file

"""`aigc image`: pictures from text, one or a file full of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aigc_cli.commands.image_options import (
    PICTURES,
    BatchOptions,
    ChoiceOptions,
    DrawingOptions,
    FileOptions,
    ImageModelOptions,
    PictureOptions,
)
from aigc_cli.commands.output import open_output, read_settings
from aigc_cli.commands.session import note_built_in_model
from aigc_cli.core.errors import UsageError
from aigc_cli.core.image import Previews
from aigc_cli.options import OutputOptions

if TYPE_CHECKING:
    from aigc_cli.render.output import Output


def image(
    model: ImageModelOptions,
    drawing: DrawingOptions,
    pictures: PictureOptions,
    batch: BatchOptions,
    choosing: ChoiceOptions,
    files: FileOptions,
    options: OutputOptions,
    prompt: Annotated[
        str | None, typer.Argument(help="What to draw. {a|b} draws both, __animal__ a line of a file. - is stdin.", show_default=False)
    ] = None,
    replayed: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Draw this picture again, with the changes that are given.", rich_help_panel=PICTURES),
    ] = None,
) -> None:
    """Draw pictures from text: one, or a file full of prompts that survives being killed."""
    screen = open_output(options)
    settings = read_settings(screen)

    from aigc_cli.commands.image_order import make_order

    previews = wanted_previews(files, screen)
    order = make_order(prompt, replayed, model, drawing, pictures, batch, choosing, files, settings, previews)
    if order.folder is None and (screen.stdout_is_terminal or options.json):
        raise UsageError(
            "a picture's bytes do not go to a terminal" if screen.stdout_is_terminal else "--json and -o - both want stdout",
            "name a folder after -o",
        )

    if not replayed:
        note_built_in_model(model.model, settings, screen, "image_model")

    from aigc_cli.commands.image_run import run

    events = run(order, screen.write_bytes)
    if options.json and order.prompts:
        from aigc_cli.render.image_results import render_results

        render_results(events, screen)
    elif options.json:
        from aigc_cli.render.jsonl import render_json, since_loaded

        render_json(since_loaded(events), screen)
    else:
        from aigc_cli.render.images import render_images

        render_images(events, screen, preview=previews)


def wanted_previews(files: FileOptions, screen: Output) -> Previews:
    """Every step where somebody sees it."""
    if files.preview is not None:
        return files.preview.value
    return "every" if screen.stderr_redraws and not screen.json else "none"

"""The command tree. Importing it imports no engine."""

from __future__ import annotations

from typing import Annotated

import typer

from aigc_cli import __version__
from aigc_cli.commands.chat import chat
from aigc_cli.commands.complete import complete
from aigc_cli.commands.completion import completion
from aigc_cli.commands.config import config_app
from aigc_cli.commands.doctor import doctor
from aigc_cli.commands.export import export
from aigc_cli.commands.finetune import finetune
from aigc_cli.commands.grid import grid
from aigc_cli.commands.image import image
from aigc_cli.commands.models import models_app
from aigc_cli.commands.report import report
from aigc_cli.commands.show import show
from aigc_cli.commands.upscale import upscale
from aigc_cli.options import expand_dataclasses

app = typer.Typer(
    name="aigc",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Generative AI on the machine you own.",
)


def show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"aigc {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and leave.")] = False,
) -> None:
    pass


GENERATE, TRAIN, FILES, SET_UP = "Generate", "Train", "Files", "Models and set-up"
app.command(rich_help_panel=GENERATE)(expand_dataclasses(chat))
app.command(rich_help_panel=GENERATE)(expand_dataclasses(complete))
app.command(rich_help_panel=GENERATE)(expand_dataclasses(image))
app.command(rich_help_panel=TRAIN)(expand_dataclasses(finetune))
app.command(rich_help_panel=FILES)(expand_dataclasses(show))
app.command(rich_help_panel=FILES)(expand_dataclasses(grid))
app.command(rich_help_panel=FILES)(expand_dataclasses(upscale))
app.command(rich_help_panel=FILES)(expand_dataclasses(export))
app.command(rich_help_panel=FILES)(expand_dataclasses(report))
app.add_typer(models_app, name="models", rich_help_panel=SET_UP)
app.add_typer(config_app, name="config", rich_help_panel=SET_UP)
app.command(rich_help_panel=SET_UP)(expand_dataclasses(doctor))
app.command(rich_help_panel=SET_UP)(completion)

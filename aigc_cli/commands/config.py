"""`aigc config`."""

import typer

config_app = typer.Typer(help="config", no_args_is_help=True)


@config_app.command()
def list() -> None:
    """List."""

"""`aigc models`."""

import typer

models_app = typer.Typer(help="models", no_args_is_help=True)


@models_app.command()
def list() -> None:
    """List."""

"""`aigc completion`: prints a shell's completion script."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"
    POWERSHELL = "powershell"


SUFFIXES = {Shell.POWERSHELL: "ps1"}  # the others' is their name
INSTALL = {
    Shell.BASH: "aigc completion bash > ~/.local/share/bash-completion/completions/aigc",
    Shell.ZSH: 'aigc completion zsh > "${fpath[1]}/_aigc"',
    Shell.FISH: "aigc completion fish > ~/.config/fish/completions/aigc.fish",
    Shell.POWERSHELL: "aigc completion powershell >> $PROFILE",
}


def completion(shell: Annotated[Shell, typer.Argument(help="The shell to complete in.")]) -> None:
    """Print the completion script for a shell; on a terminal also how to install it."""
    from aigc_cli.render.output import Output

    output = Output()
    output.write(script_path(shell).read_text("utf-8"))
    if output.stdout_is_terminal:
        output.note(f"to install it: {INSTALL[shell]}")


def script_path(shell: Shell) -> Path:
    """The file in this package that `make docs` generates from the command tree."""
    return Path(__file__).parent.parent / "completions" / f"aigc.{SUFFIXES.get(shell, shell.value)}"

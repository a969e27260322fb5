"""The documents say what the program has, all of it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from aigc_cli.app import app

ROOT = Path(__file__).parents[1]
REFERENCE = (ROOT / "docs" / "commands.md").read_text("utf-8")


def walk(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """All commands that do something, by what is typed."""
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        yield name, command
    for word, subcommand in (subcommands or {}).items():
        yield from walk(subcommand, f"{name} {word}")


COMMANDS = dict(walk(typer.main.get_command(app), "aigc"))


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_and_all_it_takes_is_explained_and_in_the_reference(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    section = REFERENCE.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    assert section, f"docs/commands.md has no {name}: make docs"
    for parameter in command.params:
        assert parameter.help, f"{name}: {parameter.name} has no help"
        names = parameter.opts if parameter.param_type_name == "option" else [parameter.metavar or parameter.name.upper()]
        missing = [spelling for spelling in names if f"`{spelling}`" not in section]
        assert not missing, f"docs/commands.md, {name}: make docs"


def test_no_document_has_a_blank_to_be_filled() -> None:
    if not (shutil.which("git") and (ROOT / ".git").exists()):
        pytest.skip("not a checkout")
    listed = subprocess.run(["git", "ls-files", "-z", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [ROOT / name for name in listed.split("\0") if name]
    assert files
    assert [path.name for path in files if path.is_file() and "@@" in path.read_text("utf-8")] == []

"""Completion in the line editor."""

from __future__ import annotations

from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from aigc_cli.chat.prompt import SlashCompleter


def completed(text: str) -> set[str]:
    """What the text may become."""
    completions = SlashCompleter().get_completions(Document(text), CompleteEvent())
    return {text[: len(text) + completion.start_position] + completion.text for completion in completions}


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("/und", {"/undo"}),
        ("/s", {"/system", "/set", "/show", "/save", "/stats"}),
        ("/set temp", {"/set temperature"}),
        ("/set temperature 0", set()),
        ("a /und", set()),
        ("/und\no", set()),
    ],
)
def test_commands_and_options(text: str, becomes: set[str]) -> None:
    assert completed(text) == becomes


@pytest.mark.parametrize("command", ["file", "load", "save", "model"])
def test_file_names(command: str, tmp_path: Path) -> None:
    (tmp_path / "笔记 one.txt").touch()
    assert completed(f"/{command} {tmp_path}/笔") == {f"/{command} {tmp_path}/笔记 one.txt"}
    assert completed(f"/undo {tmp_path}/") == set()

"""A row of training data, whatever format it was written in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aigc_cli.core.request import Role

Split = Literal["train", "validation", "test"]
RowFormat = Literal["text", "completion", "instruction", "chat"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a row stands. line: counted from 1; in a file that is not made of lines, the row's number; 0 where the file is the row.

    row: its number among those that begin on the line; 0 where it is the only one.
    """

    file: str
    line: int
    row: int = 0

    def __str__(self) -> str:
        return self.file + (f":{self.line}" if self.line else "") + (f" (row {self.row})" if self.row else "")


@dataclass(frozen=True, slots=True)
class TextSample:
    """Text to learn as it stands."""

    text: str


@dataclass(frozen=True, slots=True)
class CompletionSample:
    """A prompt and what should follow it. is_instruction: the prompt is a request, to be answered as in a chat."""

    prompt: str
    completion: str
    is_instruction: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation. trained: whether the model should learn to write it (assistant turns, as a rule)."""

    role: Role
    content: str
    trained: bool


@dataclass(frozen=True, slots=True)
class ChatSample:
    """A conversation with at least one turn that is trained."""

    turns: tuple[Turn, ...]


Sample = TextSample | CompletionSample | ChatSample

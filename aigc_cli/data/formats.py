"""Finds a row's format by its keys and brings it into one of the shapes that are trained on."""

from __future__ import annotations

from typing import Any, Literal

from aigc_cli.core.sample import CompletionSample, RowFormat, Sample, TextSample
from aigc_cli.data.row import BadRowError
from aigc_cli.data.turns import chat_of_exchange, chat_of_messages, text_of

AnyFormat = RowFormat | Literal["preference"]

# what a row is taken for: the first of these whose keys it has, the more telling before the others
FORMATS: tuple[tuple[AnyFormat, tuple[str, ...]], ...] = (
    ("chat", ("messages",)),
    ("chat", ("conversations",)),
    ("completion", ("prompt", "completion")),
    ("instruction", ("instruction", "output")),
    ("preference", ("chosen", "rejected")),
    ("text", ("text",)),
)
LABELS: dict[AnyFormat, str] = {
    "chat": "messages",
    "completion": "prompt/completion",
    "instruction": "instruction/output",
    "preference": "chosen/rejected",
    "text": "text",
}
KEYS = frozenset(key for _, keys in FORMATS for key in keys) | {"input"}
NEGLECTED = ("system", "history", "tools", "functions")  # keys of other tools' formats that would change what is learnt
KNOWN_FORMATS = "known are: text; prompt, completion; instruction, (input,) output; messages; conversations"
KEYS_SHOWN = 12
NAME_SHOWN = 40  # characters


class UnknownFormatError(BadRowError):
    """The row's keys make up none of the formats."""


def sample_of(row: dict[str, Any]) -> tuple[AnyFormat, Sample | None]:
    """The format, and the row in its shape; None for a preference pair.

    Raises: BadRowError saying what is wrong with the row.
    """
    found, keys = format_of(row)
    match found:
        case "chat":
            return found, chat_of_messages(row[keys[0]], keys[0])
        case "completion" if isinstance(row["prompt"], list) or isinstance(row["completion"], list):
            return "chat", chat_of_exchange(row["prompt"], row["completion"])
        case "completion":
            return found, CompletionSample(text_of(row, "prompt"), text_of(row, "completion"))
        case "instruction":
            return found, instruction(row)
        case "preference":
            return found, None
        case _:
            return "text", TextSample(text_of(row, "text"))


def format_of(row: dict[str, Any]) -> tuple[AnyFormat, tuple[str, ...]]:
    """The format and its keys. Null counts as absent, for tables that were put together have it in every other format's columns."""
    for found, keys in FORMATS:
        for key in keys:
            if row.get(key) is None:
                break
        else:
            return found, keys
    return incomplete(row)


def instruction(row: dict[str, Any]) -> CompletionSample:
    """The input, where there is one, stands below the instruction."""
    prompt = text_of(row, "instruction")
    material = row.get("input")
    if material not in (None, ""):
        prompt = f"{prompt}\n\n{text_of(row, 'input')}"
    return CompletionSample(prompt, text_of(row, "output"), is_instruction=True)


def incomplete(row: dict[str, Any]) -> tuple[AnyFormat, tuple[str, ...]]:
    """The format of a row that has its keys, but null under one of them.

    Raises: UnknownFormatError naming the key that is missing, or all that there are.
    """
    for found, keys in FORMATS:
        if all(key in row for key in keys):
            return found, keys
    for _, keys in FORMATS:
        there = [key for key in keys if key in row]
        if there:
            missing = next(key for key in keys if key not in row)
            raise UnknownFormatError(f"it has {there[0]}, but no {missing}")
    raise UnknownFormatError(f"no known format has the keys {listed(row)}" if row else "an empty object")


def listed(keys: Any) -> str:
    """Names as a user reads them, not too many and none too long."""
    names = [" ".join(str(key)[: NAME_SHOWN + 1].split()) for key in keys]
    names = [name if len(name) <= NAME_SHOWN else f"{name[:NAME_SHOWN]}…" for name in names]
    return ", ".join(names[:KEYS_SHOWN]) + (f" and {len(names) - KEYS_SHOWN} more" if len(names) > KEYS_SHOWN else "")

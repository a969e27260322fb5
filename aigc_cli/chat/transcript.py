"""A conversation as a file: JSON to load again, or Markdown to read."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aigc_cli.atomic_file import replace_file
from aigc_cli.chat.parameters import TYPES, checked, description, has_type
from aigc_cli.chat.session import Turn
from aigc_cli.core.errors import AigcError, UsageError
from aigc_cli.text_input import read_text

HINT = "a saved chat is JSON with a list of messages, each with a role and a content, questions and answers in turn"


@dataclass(frozen=True)
class Transcript:
    """What a file holds. question: a last user message that nobody has answered yet.  file: where it was loaded from."""

    turns: tuple[Turn, ...]
    system: str | None = None
    model: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    question: str = ""
    file: Path | None = field(default=None, compare=False)


def save_transcript(path: Path, transcript: Transcript) -> None:
    """Markdown for a name that ends in .md, else JSON. Raises: AigcError; a file that was there is then as it was."""
    text = to_markdown(transcript) if path.suffix.lower() == ".md" else to_json(transcript)
    try:
        replace_file(path, text.encode())
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise AigcError(f"{path}: not saved: {reason}", "the conversation goes on: /save it under another name") from None


def to_json(transcript: Transcript) -> str:
    messages: list[dict[str, Any]] = []
    if transcript.system:
        messages.append({"role": "system", "content": transcript.system})
    for turn in transcript.turns:
        messages.append({"role": "user", "content": turn.question})
        messages.append({"role": "assistant", "content": turn.answer} | ({"interrupted": True} if turn.interrupted else {}))
    value = {"model": transcript.model, "settings": transcript.parameters, "messages": messages}
    return to_text(value)


def to_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def to_markdown(transcript: Transcript) -> str:
    parts = [f"# Chat with {transcript.model}"]
    if transcript.system:
        parts += ["## System", transcript.system]
    for turn in transcript.turns:
        parts += ["## User", turn.question, "## Assistant", turn.answer]
        parts += ["*(stopped here)*"] if turn.interrupted else []
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def load_transcript(path: Path) -> Transcript:
    """Reads what `save_transcript` wrote as JSON, or a bare list of messages. Raises: UsageError naming the place."""
    value = read_json(path)
    whole = value if isinstance(value, dict) else {"messages": value}
    messages, settings = whole.get("messages"), whole.get("settings", {})
    if not isinstance(messages, list) or not isinstance(settings, dict):
        raise UsageError(f"{path}: there is no list of messages in it", HINT)
    for at, message in enumerate(messages, 1):
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise UsageError(f"{path}: message {at} has no text", HINT)
    system = messages.pop(0)["content"] if messages and messages[0].get("role") == "system" else None
    question = messages.pop()["content"] if messages and messages[-1].get("role") == "user" else ""
    parameters = checked_settings(path, settings)
    if not (messages or question or system or parameters):
        raise UsageError(f"{path}: there is no message in it", HINT)
    return Transcript(tuple(to_turns(path, messages)), system, whole.get("model"), parameters, question, path)


def read_json(path: Path) -> Any:
    """Raises: UsageError, also for what could be read but neither sent to a model nor saved again."""
    try:
        value = json.loads(read_text(path))
        to_text(value).encode()
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}:{error.lineno}: not JSON: {error.msg}", HINT) from None
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise UsageError(f"{path}: {half} is half a character, and its other half is missing", "take it out of the file") from None
    except RecursionError:
        raise UsageError(f"{path}: lists within lists, too deep to read", HINT) from None
    except ValueError:  # a number of thousands of digits
        raise UsageError(f"{path}: a number that is too long to read", HINT) from None
    return value


def to_turns(path: Path, messages: list[dict[str, Any]]) -> list[Turn]:
    """Pairs of messages as turns. Raises: UsageError where questions and answers do not take turns."""
    for at, message in enumerate(messages):
        if message.get("role") != (wanted := ("user", "assistant")[at % 2]):
            raise UsageError(f"{path}: a message of role {message.get('role')!r} where {wanted!r} is due", HINT)
    if len(messages) % 2:
        raise UsageError(f"{path}: a question without an answer before the last one", HINT)
    return [
        Turn(question["content"], answer["content"], answer.get("interrupted") is True)
        for question, answer in zip(messages[::2], messages[1::2], strict=True)
    ]


def checked_settings(path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    for name, value in settings.items():
        if name not in TYPES:
            raise UsageError(f"{path}: there is no option {name!r}", f"there is: {', '.join(TYPES)}")
        if not has_type(name, value):
            raise UsageError(f"{path}: {name} must be {description(TYPES[name])}, not {value!r}")
    try:
        return checked(settings)
    except UsageError as error:
        raise UsageError(f"{path}: {error.message}", error.hint) from None

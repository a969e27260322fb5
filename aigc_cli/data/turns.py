"""Conversations as OpenAI, ShareGPT and trl write them, checked turn by turn."""

from __future__ import annotations

from typing import Any

from aigc_cli.core.request import Role
from aigc_cli.core.sample import ChatSample, Turn
from aigc_cli.data.row import BadRowError, kind_of

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
}
TOOL_ROLES = ("tool", "function", "function_call", "function_response", "observation", "ipython")
NO_TOOLS = "tool calls are not trained yet"


def text_of(row: dict[str, Any], key: str) -> str:
    value = row[key]
    if type(value) is not str:
        raise BadRowError(f"{key} is {kind_of(value)}, it should be text")
    if not value or value.isspace():
        raise BadRowError(f"{key} is empty")
    return value


def chat_of_messages(messages: Any, key: str) -> ChatSample:
    turns = turns_of(messages, key)
    if not any(turn.trained for turn in turns):
        has_assistant = any(turn.role == "assistant" for turn in turns)
        why = "that is trained: every weight is 0" if has_assistant else "to learn from"
        raise BadRowError(f"{key} has no assistant turn {why}")
    return ChatSample(turns)


def chat_of_exchange(prompt: Any, completion: Any) -> ChatSample:
    """Two lists of messages: all that the assistant says in the second is trained."""
    if type(prompt) is not type(completion):
        raise BadRowError(f"prompt is {kind_of(prompt)} and completion is {kind_of(completion)}, both should be text or lists of messages")
    before = tuple(Turn(turn.role, turn.content, trained=False) for turn in turns_of(prompt, "prompt"))
    return ChatSample(before + chat_of_messages(completion, "completion").turns)


def turns_of(messages: Any, key: str) -> tuple[Turn, ...]:
    if not isinstance(messages, list):
        raise BadRowError(f"{key} is {kind_of(messages)}, it should be a list of messages")
    if not messages:
        raise BadRowError(f"{key} is empty")
    return tuple([turn_of(message, number) for number, message in enumerate(messages, 1)])


def turn_of(message: Any, number: int) -> Turn:
    """number: counted from 1, for the error."""
    if not isinstance(message, dict):
        raise BadRowError(f"message {number} is {kind_of(message)}, it should be an object with role and content")
    role_key, content_key = ("role", "content") if "role" in message else ("from", "value")
    name = message.get(role_key)
    role = ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        raise BadRowError(wrong_role(message, role_key, number))
    if message.get("tool_calls") or message.get("function_call"):
        raise BadRowError(f"message {number}: {NO_TOOLS}")
    content = message.get(content_key)
    if isinstance(content, list):
        content = text_of_parts(content, number)
    if content_key not in message:
        raise BadRowError(f"message {number} has no {content_key}")
    if type(content) is not str:
        raise BadRowError(f"message {number}: {content_key} is {kind_of(content)}, it should be text")
    if not content or content.isspace():
        raise BadRowError(f"message {number} ({name}) is empty")
    return Turn(role, content, is_trained(message, role, number))


def wrong_role(message: dict[str, Any], key: str, number: int) -> str:
    name = message.get(key)
    if key not in message:
        return f"message {number} has no role"
    if not isinstance(name, str):
        return f"message {number}: {key} is {kind_of(name)}, it should be text"
    if name in TOOL_ROLES:
        return f"message {number} has the role {name}: {NO_TOOLS}"
    return f"message {number} has the unknown role {name[:40]!r}; known are {', '.join(ROLES)}"


def is_trained(message: dict[str, Any], role: Role, number: int) -> bool:
    """OpenAI's `weight`, 0 or 1, takes a turn of the assistant out of the training."""
    weight = message.get("weight")
    if weight is None:
        return role == "assistant"
    if role != "assistant":
        raise BadRowError(f"message {number}: only the assistant's messages have a weight")
    if type(weight) not in (int, float) or weight not in (0, 1):
        raise BadRowError(f"message {number}: weight is {str(weight)[:40]}, it should be 0 or 1")
    return bool(weight)


def text_of_parts(parts: list[Any], number: int) -> str:
    """OpenAI's list of parts, where all of them are text."""
    texts = []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if not isinstance(part, dict) or kind != "text" or not isinstance(part.get("text"), str):
            raise BadRowError(f"message {number} has a part that is no text ({kind or kind_of(part)}): only text is trained on")
        texts.append(part["text"])
    return "".join(texts)

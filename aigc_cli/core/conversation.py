"""Chat history: what is dropped when the context is full, and its plain form."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

from aigc_cli.core.errors import ContextOverflowError
from aigc_cli.core.request import Message

LABELS = {"system": "System", "user": "User", "assistant": "Assistant"}
PLAIN_STOPS = tuple(f"{gap}{label}:" for label in LABELS.values() for gap in ("\n\n", "\n"))
"""Where a base model that writes a plain transcript begins somebody's next turn: the reply ends before it."""


@dataclass(frozen=True)
class Fitted:
    """A conversation that fits. kept, dropped: tokens of it and of what was left out."""

    messages: tuple[Message, ...]
    kept: int
    dropped: int


def fit_turns(messages: tuple[Message, ...], budget: int, count: Callable[[tuple[Message, ...]], int]) -> Fitted:
    """Drops whole turns, oldest first, until the conversation has at most `budget` tokens.

    A turn is a user message with its answer. The system prompt and the last turn always stay. `count` is taken to
    grow with the number of turns, and is called about log2(turns) times.
    Raises: ContextOverflowError when even the last turn does not fit.
    """
    system, turns = split_turns(messages)
    total = count(messages)
    if total <= budget:
        return Fitted(messages, total, 0)

    def without(dropped: int) -> tuple[Message, ...]:
        return system + tuple(message for turn in turns[dropped:] for message in turn)

    fitted = without(bisect_left(range(len(turns) - 1), True, key=lambda dropped: count(without(dropped)) <= budget))
    kept = count(fitted)
    if kept > budget:
        raise ContextOverflowError(
            f"the last message has {kept} tokens with the system prompt, and there is room for {budget}",
            "shorten it, lower --max-new-tokens, or cut its middle with --truncate middle",
        )
    return Fitted(fitted, kept, total - kept)


def split_turns(messages: tuple[Message, ...]) -> tuple[tuple[Message, ...], list[tuple[Message, ...]]]:
    """The system prompt that a conversation opens with, and its turns: each begins with a user message."""
    body = next((at for at, message in enumerate(messages) if message.role != "system"), len(messages))
    starts = [at for at in range(body, len(messages)) if at == body or messages[at].role == "user"]
    ends = [*starts[1:], len(messages)]
    return messages[:body], [messages[start:end] for start, end in zip(starts, ends, strict=True)]


def middle_cut(length: int, budget: int) -> tuple[int, int]:
    """How many tokens to keep of the head and of the tail of a text of `length` tokens, `budget` in all.

    Raises: ContextOverflowError when there is room for nothing.
    """
    if length <= budget:
        return length, 0
    if budget < 1:
        raise ContextOverflowError(
            f"the text has {length} tokens, and there is room for none of it", "lower --max-new-tokens, or shorten the system prompt"
        )
    tail = budget // 2
    return budget - tail, tail


def plain_transcript(messages: tuple[Message, ...]) -> str:
    """The format for a model without a chat template: labelled paragraphs, a blank line between, the answer's label last.

        System: Answer briefly.

        User: What is the capital of France?

        Assistant:

    A conversation that ends with an assistant message is left open, so that the model continues it.
    """
    paragraphs = [f"{LABELS[message.role]}: {message.content.strip()}" for message in messages]
    if messages[-1].role != "assistant":
        paragraphs.append("Assistant:")
    return "\n\n".join(paragraphs)

"""What to ask a model so that its answer can be compared with a row's own."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any, Literal

from aigc_cli.core.request import Message
from aigc_cli.core.sample import ChatSample, CompletionSample, Sample, TextSample

OPENING_TOKENS = 64  # of a plain text, for the model to go on from


@dataclass(frozen=True)
class Question:
    """reference: the answer that the row has."""

    messages: tuple[Message, ...]
    mode: Literal["chat", "raw"]
    reference: str


def question_of(sample: Sample, mode: Literal["chat", "raw"], tokenizer: Any) -> Question | None:
    """All that comes before the last trained turn, the prompt, or the beginning of a text.

    Returns: None where that holds nothing that a user says.
    """
    match sample:
        case TextSample(text=text):
            prompt = opening(text, tokenizer)
            asked: tuple[Message, ...] = (Message("user", prompt),)
            reference = text[len(prompt) :]
        case CompletionSample(prompt=prompt, completion=reference):
            asked = (Message("user", prompt),)
        case ChatSample(turns=turns):
            last = max(index for index, turn in enumerate(turns) if turn.trained)
            asked, reference = tuple(Message(turn.role, turn.content) for turn in turns[:last]), turns[last].content
    says_something = any(message.role == "user" and message.content.strip() for message in asked)
    return Question(asked, mode, reference) if says_something else None


def opening(text: str, tokenizer: Any) -> str:
    """The first third of a text, at most OPENING_TOKENS of it, up to the end of a word where it has words."""
    most = max(1, len(text) // 3)

    def tokens(characters: int) -> int:
        return len(tokenizer(text[:characters], add_special_tokens=False, verbose=False).input_ids)

    lengths = range(1, min(most, 32 * OPENING_TOKENS) + 1)
    begun = text[: max(1, bisect_right(lengths, OPENING_TOKENS, key=tokens))]
    whole_words = re.match(r"(.*\S)\s+\S*$", begun, re.DOTALL)
    return whole_words[1] if whole_words else begun

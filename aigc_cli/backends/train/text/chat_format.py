"""Conversations -> texts whose answers are marked, in the model's chat template or, without one, as a plain transcript."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any, cast

from transformers.utils.chat_template_utils import render_jinja_template

from aigc_cli.backends.prompting import template_guard
from aigc_cli.backends.train.text.chat_masks import AnswerShape, Span, Unmaskable, answer_shape, answer_spans
from aigc_cli.backends.train.text.marked_text import MarkedText
from aigc_cli.core.conversation import plain_transcript
from aigc_cli.core.request import Message
from aigc_cli.core.sample import Turn

GENERATION_MARKS = re.compile(r"\{%-?\s*generation\s*-?%\}")


class ChatFormat:
    """How one model's conversations are written.

    trains_prompts: everything is learnt but the assistant's turns that a row itself excludes.
    """

    def __init__(self, tokenizer: Any, trains_prompts: bool) -> None:
        self.tokenizer = tokenizer
        self.trains_prompts = trains_prompts
        self.has_template = bool(tokenizer.chat_template)
        self.marks_answers = self.has_template and bool(GENERATION_MARKS.search(tokenizer.get_chat_template()))

    @cached_property
    def shape(self) -> AnswerShape:
        """Raises: UsageError for a template that refuses a plain conversation."""
        return answer_shape(self.render, [str(token) for token in self.tokenizer.added_tokens_decoder.values()])

    @cached_property
    def end_of_turn(self) -> int | None:
        """The token that ends an answer; None where the template puts nothing there."""
        ids = self.tokenizer(self.shape.end_of_turn, add_special_tokens=False).input_ids
        return ids[-1] if ids else None

    def render(self, messages: Sequence[Message], asks: bool) -> str:
        """asks: whether it ends with what opens an answer. Raises: UsageError where the template refuses."""
        with template_guard():
            text: str = self.tokenizer.apply_chat_template(as_dicts(messages), add_generation_prompt=asks, tokenize=False)
        return text

    def draft(self, turns: tuple[Turn, ...]) -> MarkedText:
        """Raises: UsageError where the template refuses the conversation; Unmaskable."""
        if not self.trains_prompts:
            last = max(at for at, turn in enumerate(turns) if turn.trained)
            turns = turns[: last + 1]  # what comes after teaches nothing
        messages = tuple(Message(turn.role, turn.content) for turn in turns)
        located = [at for at, turn in enumerate(turns) if turn.role == "assistant" and turn.trained != self.trains_prompts]
        text, spans = self._in_template(messages, located) if self.has_template else transcript(messages, located)
        if self.trains_prompts:
            spans = complement(spans, len(text))
        return MarkedText(text, tuple(spans), adds_special=not self.has_template)

    def _in_template(self, messages: Sequence[Message], located: Sequence[int]) -> tuple[str, list[Span]]:
        if not located:
            return self.render(messages, False), []
        if self.marks_answers:
            return self._marked_by_template(messages, located)
        return answer_spans(self.render, self.shape, messages, located)

    def _marked_by_template(self, messages: Sequence[Message], located: Sequence[int]) -> tuple[str, list[Span]]:
        """The answers as the {% generation %} marks have them.

        As characters, for when transformers makes tokens of them it drops answers that begin with a space from here on.
        """
        template, special = self.tokenizer.get_chat_template(), self.tokenizer.special_tokens_map
        with template_guard():
            rendered = render_jinja_template([as_dicts(messages)], chat_template=template, return_assistant_tokens_mask=True, **special)
        [text], [spans] = cast("tuple[list[str], list[list[Span]]]", rendered)  # it is declared to return a string
        answers = [at for at, message in enumerate(messages) if message.role == "assistant"]
        if len(spans) != len(answers):
            raise Unmaskable(f"the chat template marks {len(spans)} answers, and the conversation has {len(answers)}")
        return text, [span for at, span in zip(answers, spans, strict=True) if at in located]


def transcript(messages: Sequence[Message], located: Sequence[int]) -> tuple[str, list[Span]]:
    """A plain transcript and its answers. One in the middle ends with the next speaker's label, at which replies stop."""
    messages = tuple(messages)
    text = plain_transcript(messages)
    if messages[-1].role != "assistant":
        text = text.removesuffix("\n\nAssistant:")
    spans = []
    for at in located:
        end = len(plain_transcript(messages[: at + 1]))
        begin = end - len(messages[at].content.strip()) - len(" ")
        spans.append((begin, end if at + 1 == len(messages) else text.index(":", end) + 1))
    return text, spans


def complement(spans: Sequence[Span], length: int) -> list[Span]:
    """What of a text lies outside the spans."""
    cuts = [0, *(at for span in spans for at in span), length]
    return [(begin, end) for begin, end in zip(cuts[::2], cuts[1::2], strict=True) if begin < end]


def as_dicts(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]

"""Which characters of a rendered conversation the model should learn to write, for any chat template."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from aigc_cli.core.errors import UsageError
from aigc_cli.core.request import Message

Span = tuple[int, int]  # characters, the end not included
Render = Callable[[Sequence[Message], bool], str]  # messages, whether an answer is asked for -> the template's text
QUESTIONS, ANSWERS = ("aigcfirstquestion", "aigcsecondquestion"), ("aigcfirstanswer", "aigcsecondanswer")


class Unmaskable(Exception):
    """A row in which it is not certain which tokens are the assistant's; says why."""


@dataclass(frozen=True)
class AnswerShape:
    """How a template sets an answer, found by looking at what it makes of a conversation.

    opening: what a question for an answer ends with, "<|im_start|>assistant\\n" for one; it may be empty.
    leads: what may stand between the opening and the content, longest first: nothing, a space, or the empty thoughts
        that Qwen3 puts before the last answer. The model has to write it.
    end_of_turn: what ends an answer; empty where the template has nothing.
    withheld: what the template opens an answer with when asked for one and leaves out of conversations.
    """

    opening: str
    leads: tuple[str, ...]
    end_of_turn: str
    withheld: str

    def without_lead(self, before: str) -> str:
        """What stands before an answer's content, without what the model has to write of it."""
        for lead in self.leads:
            if before.endswith(self.opening + lead):
                return before[: len(before) - len(lead)]
        raise Unmaskable("the chat template opens an answer in a way of its own here")


def answer_shape(render: Render, special_texts: Collection[str]) -> AnswerShape:
    """special_texts: what the tokenizer has single tokens for beside its ordinary vocabulary.

    Raises: UsageError for a template that refuses a plain conversation or does not show what is said in it.
    """
    first_question, second_question = (Message("user", text) for text in QUESTIONS)
    first_answer, second_answer = (Message("assistant", text) for text in ANSWERS)
    talk = (first_question, first_answer, second_question, second_answer)
    text = render(talk, False)
    if not in_order(text, [QUESTIONS[0], ANSWERS[0], QUESTIONS[1], ANSWERS[1]]):
        raise UsageError("the model's chat template does not show a conversation as it was held", "use --raw, or another model")
    asked = render(talk[:1], True)
    begins = min(common_length(asked, text), text.index(ANSWERS[0]))
    begins_last = min(common_length(render(talk[:3], True), text), text.index(ANSWERS[1]))
    leads = {text[begins : text.index(ANSWERS[0])], text[begins_last : text.index(ANSWERS[1])]}
    between = text[text.index(ANSWERS[0]) + len(ANSWERS[0]) : text.index(QUESTIONS[1])]
    after_last = text[text.index(ANSWERS[1]) + len(ANSWERS[1]) :]
    return AnswerShape(
        opening=asked[common_length(render(talk[:1], False), asked) : begins],
        leads=tuple(sorted(leads, key=len, reverse=True)),
        end_of_turn=end_of_turn(between, after_last, special_texts),
        withheld=asked[begins:],
    )


def end_of_turn(between: str, after_last: str, special_texts: Collection[str]) -> str:
    """What follows both an answer in the middle and the last: up to the first special token, else up to white space."""
    shared = between[: common_length(between, after_last)]
    ends = [shared.index(text) + len(text) for text in special_texts if text.strip() and text in shared]
    return shared[: min(ends)] if ends else shared.rstrip()


def answer_spans(render: Render, shape: AnswerShape, messages: Sequence[Message], wanted: Sequence[int]) -> tuple[str, list[Span]]:
    """The rendered conversation, and the characters in it that the model should write for the messages numbered `wanted`.

    An answer begins where the question for it ends and goes up to its end-of-turn marker inclusive; the line break that
    many templates put after that is not the model's. A template is free to strip contents, to drop the thoughts of
    earlier turns or to merge messages, so the answers are found by rendering the conversation a second time with
    marks in their place: what stands around the marks must stand around the answers.

    Raises: Unmaskable where it does not; UsageError where the template refuses the conversation.
    """
    text = render(messages, False)
    around = text_around(render, shape, messages, wanted, text)
    if not text.startswith(around[0]):
        raise Unmaskable("the chat template writes what stands before an answer differently for each answer")
    spans = []
    begin = len(around[0])
    for after, index, is_last in zip(around[1:], wanted, [False] * (len(wanted) - 1) + [True], strict=True):
        found = last_place(text, after) if is_last else places(text, after, begin)
        shown = messages[index].content.rpartition("</think>")[2].strip()  # templates drop thoughts, or set them anew
        end = next((at for at in found if at >= begin and text[begin:at].rstrip().endswith(shown)), None)
        if end is None:
            raise Unmaskable(f"the chat template does not show the content of message {index + 1} as it stands")
        spans.append((begin, end + len(shape.end_of_turn) if after.startswith(shape.end_of_turn) else end))
        begin = end + len(after)
    return text, spans


def text_around(render: Render, shape: AnswerShape, messages: Sequence[Message], wanted: Sequence[int], text: str) -> list[str]:
    """What the template puts before, between and after the answers: one string more than there are answers."""
    marks = {index: f"aigcanswer{index}x" for index in wanted}
    while any(mark in text for mark in marks.values()):
        marks = {index: f"aigcanswer{index}x{secrets.token_hex(8)}x" for index in wanted}
    marked = render([Message(m.role, marks[i]) if i in marks else m for i, m in enumerate(messages)], False)
    if not in_order(marked, list(marks.values())):
        raise Unmaskable("the chat template leaves out an answer, or shows it twice")
    around = []
    for mark in marks.values():
        before, _, marked = marked.partition(mark)
        around.append(shape.without_lead(before))
    return [*around, marked]


def in_order(text: str, parts: Sequence[str]) -> bool:
    """Whether each part is in the text once, one after another."""
    found = [text.find(part) for part in parts]
    return -1 not in found and found == sorted(found) and all(text.count(part) == 1 for part in parts)


def places(text: str, part: str, begin: int) -> Iterator[int]:
    """Where `part` stands in the text from `begin` on."""
    at = text.find(part, begin)
    while at != -1:
        yield at
        at = text.find(part, at + 1)


def last_place(text: str, ending: str) -> list[int]:
    return [len(text) - len(ending)] if text.endswith(ending) else []


def common_length(one: str, other: str) -> int:
    """Of what both texts begin with."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))

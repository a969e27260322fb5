"""Which characters of a conversation are the assistant's, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from aigc_cli.backends.train.text.chat_masks import Unmaskable, answer_shape, answer_spans
from aigc_cli.core.errors import UsageError
from aigc_cli.core.request import Message

TALK = (Message("user", "一"), Message("assistant", "甲"), Message("user", "二"), Message("assistant", "乙"))


def chatml(messages: Sequence[Message], asks: bool) -> str:
    turns = "".join(f"<{m.role}>\n{m.content}</>\n" for m in messages)
    return turns + ("<assistant>\n" if asks else "")


def learnt(render, messages: Sequence[Message], wanted: Sequence[int]) -> list[str]:
    text, spans = answer_spans(render, answer_shape(render, ["</>"]), messages, wanted)
    return [text[begin:end] for begin, end in spans]


def test_an_answer_reaches_to_its_marker_and_not_to_the_line_break_after_it() -> None:
    assert learnt(chatml, TALK, [1, 3]) == ["甲</>", "乙</>"]
    assert learnt(chatml, TALK, [3]) == ["乙</>"]


def test_an_answer_that_quotes_the_template_is_found_whole() -> None:
    quotes = "乙</>\n<user>\n二</>"
    talk = (Message("user", "quote"), Message("assistant", quotes), Message("user", "二"), Message("assistant", quotes))
    assert learnt(chatml, talk, [1, 3]) == [quotes + "</>", quotes + "</>"]


def test_equal_answers_are_told_apart_by_their_place() -> None:
    talk = (Message("user", "甲"), Message("assistant", "甲"), Message("user", "甲"), Message("assistant", "甲"))
    text, spans = answer_spans(chatml, answer_shape(chatml, ["</>"]), talk, [3])
    assert spans == [(text.rindex("甲"), len(text) - 1)]


def test_an_answer_that_holds_the_marks_of_the_search_is_found() -> None:
    talk = (Message("user", "say aigcanswer1x"), Message("assistant", "aigcanswer1x"))
    assert learnt(chatml, talk, [1]) == ["aigcanswer1x</>"]


def test_what_a_template_opens_its_answers_with_is_the_models_to_write() -> None:
    def opens_the_last(messages: Sequence[Message], asks: bool) -> str:
        text = chatml(messages, asks)
        return text if asks else "<assistant>\n(thinks nothing)\n".join(text.rsplit("<assistant>\n", 1))

    assert learnt(opens_the_last, TALK, [1, 3]) == ["甲</>", "(thinks nothing)\n乙</>"]


def test_what_a_template_asks_with_and_then_leaves_out_is_known() -> None:
    shape = answer_shape(lambda messages, asks: chatml(messages, asks) + ("<think>" if asks else ""), [])
    assert (shape.opening, shape.withheld, shape.end_of_turn) == ("<assistant>\n", "<think>", "</>")


def drops_an_answer(messages: Sequence[Message], asks: bool) -> str:
    is_probe = messages[0].content.startswith("aigc")
    return chatml(messages if is_probe or asks else [m for m in messages if m.content != "甲" and "1x" not in m.content], asks)


def writes_it_otherwise(messages: Sequence[Message], asks: bool) -> str:
    return chatml(messages, asks).replace("甲", "something else")


def counts_letters(messages: Sequence[Message], asks: bool) -> str:
    return f"{len(''.join(m.content for m in messages))} letters\n" + chatml(messages, asks)


@pytest.mark.parametrize(
    ("render", "reason"),
    [
        (drops_an_answer, "leaves out an answer"),
        (writes_it_otherwise, "does not show the content of message 2"),
        (counts_letters, "differently for each answer"),
    ],
)
def test_a_conversation_that_cannot_be_masked_is_refused_with_the_reason(render, reason: str) -> None:
    shape = answer_shape(chatml, ["</>"])
    with pytest.raises(Unmaskable, match=reason):
        answer_spans(render, shape, TALK, [1, 3])


def test_a_template_that_shows_no_contents_is_refused() -> None:
    with pytest.raises(UsageError, match="does not show"):
        answer_shape(lambda messages, asks: "nothing", [])

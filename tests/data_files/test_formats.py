"""Rows in every format, and what each kind of bad row is told."""

from __future__ import annotations

from typing import Any

import pytest

from aigc_cli.core.sample import ChatSample, CompletionSample, TextSample, Turn
from aigc_cli.data.formats import sample_of
from aigc_cli.data.row import BadRowError

QUESTION = {"role": "user", "content": "你好"}
ANSWER = {"role": "assistant", "content": "您好！"}
CHAT = ChatSample((Turn("user", "你好", False), Turn("assistant", "您好！", True)))


@pytest.mark.parametrize(
    ("row", "found", "sample"),
    [
        ({"text": "一二三"}, "text", TextSample("一二三")),
        ({"prompt": "1+1=", "completion": " 2"}, "completion", CompletionSample("1+1=", " 2")),
        ({"instruction": "Add", "input": "1 1", "output": "2"}, "instruction", CompletionSample("Add\n\n1 1", "2", True)),
        ({"instruction": "Greet", "input": "", "output": "Hi"}, "instruction", CompletionSample("Greet", "Hi", True)),
        ({"instruction": "Greet", "output": "Hi", "text": "whole"}, "instruction", CompletionSample("Greet", "Hi", True)),
        ({"messages": [QUESTION, ANSWER]}, "chat", CHAT),
        ({"conversations": [{"from": "human", "value": "你好"}, {"from": "gpt", "value": "您好！"}]}, "chat", CHAT),
        ({"conversations": [QUESTION, ANSWER]}, "chat", CHAT),
        ({"prompt": [QUESTION], "completion": [ANSWER]}, "chat", CHAT),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "你"}, {"type": "text", "text": "好"}]}, ANSWER]},
            "chat",
            CHAT,
        ),
        ({"messages": [QUESTION, ANSWER], "text": None, "id": 7}, "chat", CHAT),
        ({"messages": None, "text": "a"}, "text", TextSample("a")),
    ],
)
def test_a_row_is_known_by_its_keys(row: dict[str, Any], found: str, sample: Any) -> None:
    assert sample_of(row) == (found, sample)


def test_turns_are_trained_by_role_and_weight() -> None:
    messages = [
        {"role": "developer", "content": "Be brief."},
        QUESTION,
        {**ANSWER, "weight": 0},
        QUESTION,
        QUESTION,
        {**ANSWER, "weight": 1, "tool_calls": None},
    ]
    _, sample = sample_of({"messages": messages})
    assert isinstance(sample, ChatSample)
    assert [turn.role for turn in sample.turns] == ["system", "user", "assistant", "user", "user", "assistant"]
    assert [turn.trained for turn in sample.turns] == [False, False, False, False, False, True]


def test_the_answers_within_a_prompt_are_not_trained() -> None:
    _, sample = sample_of({"prompt": [QUESTION, ANSWER, QUESTION], "completion": [ANSWER]})
    assert isinstance(sample, ChatSample)
    assert [turn.trained for turn in sample.turns] == [False, False, False, True]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"text": ""}, "text is empty"),
        ({"text": " \n"}, "text is empty"),
        ({"text": 5}, "text is a number, it should be text"),
        ({"text": None}, "text is null, it should be text"),
        ({"prompt": "a", "completion": ""}, "completion is empty"),
        ({"prompt": "", "completion": "a"}, "prompt is empty"),
        ({"prompt": "a", "completion": [ANSWER]}, "prompt is text and completion is a list, both should be text or lists of messages"),
        ({"prompt": [QUESTION], "completion": [QUESTION]}, "completion has no assistant turn to learn from"),
        ({"prompt": "a"}, "it has prompt, but no completion"),
        ({"instruction": "a", "response": "b"}, "it has instruction, but no output"),
        ({"instruction": "a", "input": ["b"], "output": "c"}, "input is a list, it should be text"),
        ({"instruction": "a", "output": True}, "output is true or false, it should be text"),
        ({"q": "a", "回答": "b"}, "no known format has the keys q, 回答"),
        ({}, "an empty object"),
        ({"messages": "hi"}, "messages is text, it should be a list of messages"),
        ({"messages": []}, "messages is empty"),
        ({"messages": ["hi"]}, "message 1 is text, it should be an object with role and content"),
        ({"messages": [{"content": "a"}]}, "message 1 has no role"),
        ({"messages": [{"role": 1, "content": "a"}]}, "message 1: role is a number, it should be text"),
        (
            {"messages": [QUESTION, {"role": "narrator", "content": "a"}]},
            "message 2 has the unknown role 'narrator'; known are system, developer, user, human, assistant, gpt",
        ),
        ({"messages": [QUESTION, {"role": "tool", "content": "a"}]}, "message 2 has the role tool: tool calls are not trained yet"),
        ({"messages": [QUESTION, {"role": "assistant", "content": None, "tool_calls": [{}]}]}, "message 2: tool calls are not trained yet"),
        ({"conversations": [{"from": "observation", "value": "a"}]}, "message 1 has the role observation: tool calls are not trained yet"),
        ({"messages": [QUESTION, {"role": "assistant"}]}, "message 2 has no content"),
        ({"messages": [QUESTION, {"role": "assistant", "content": 3}]}, "message 2: content is a number, it should be text"),
        ({"messages": [QUESTION, {"role": "assistant", "content": ""}]}, "message 2 (assistant) is empty"),
        ({"conversations": [{"from": "human", "value": "　"}]}, "message 1 (human) is empty"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "message 1 has a part that is no text (image_url): only text is trained on",
        ),
        ({"messages": [QUESTION]}, "messages has no assistant turn to learn from"),
        ({"messages": [QUESTION, {**ANSWER, "weight": 0}]}, "messages has no assistant turn that is trained: every weight is 0"),
        ({"messages": [QUESTION, {**ANSWER, "weight": 0.5}]}, "message 2: weight is 0.5, it should be 0 or 1"),
        ({"messages": [{**QUESTION, "weight": 1}, ANSWER]}, "message 1: only the assistant's messages have a weight"),
    ],
)
def test_a_bad_row_is_told_what_is_wrong(row: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRowError) as error:
        sample_of(row)
    assert str(error.value) == words

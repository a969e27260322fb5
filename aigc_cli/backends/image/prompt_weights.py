"""How much each part of a prompt counts, as A1111 and its successors write it.

`(word)` counts 1.1 times, `[word]` 1/1.1 times, `(word:1.3)` 1.3 times, and brackets within brackets multiply. A backslash before
a bracket or another backslash makes it text; so is a bracket without its partner.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

STEP = 1.1
OPENING = {")": "(", "]": "["}
MARKS = re.compile(r"\\[()\[\]\\]|[()\[\]]")
NUMBER = re.compile(r":\s*(\d+\.?\d*|\.\d+)\s*$")


@dataclass(frozen=True)
class Fragment:
    text: str
    weight: float = 1.0


@dataclass(frozen=True)
class Bracket:
    """A pair, by the places of its ends. text_end: where its text ends, before a number.  is_numbered: whether there is one."""

    start: int
    text_end: int
    end: int
    factor: float
    is_numbered: bool


def parse(prompt: str) -> tuple[Fragment, ...]:
    """The prompt without its brackets. Neighbours of the same weight are one fragment, so that they are tokenised together."""
    brackets = find_brackets(prompt)
    weights = [1.0] * len(prompt)
    hidden = [False] * len(prompt)
    for bracket in brackets:
        for place in range(bracket.start, bracket.text_end):
            weights[place] *= bracket.factor
        for place in (bracket.start, *range(bracket.text_end, bracket.end + 1)):
            hidden[place] = True
    for mark in MARKS.finditer(prompt):
        if len(mark[0]) == 2:
            hidden[mark.start()] = True
    fragments: list[Fragment] = []
    for character, weight, is_hidden in zip(prompt, weights, hidden, strict=True):
        if is_hidden:
            continue
        if fragments and fragments[-1].weight == weight:
            character = fragments.pop().text + character
        fragments.append(Fragment(character, weight))
    return tuple(fragments)


def has_numbers(prompt: str) -> bool:
    """Whether weights were written for sure: brackets alone may be punctuation."""
    return any(bracket.is_numbered for bracket in find_brackets(prompt))


def find_brackets(prompt: str) -> list[Bracket]:
    """The pairs, the inner ones first."""
    marks = {mark.start(): mark[0] for mark in MARKS.finditer(prompt) if len(mark[0]) == 1}
    open_places: list[int] = []
    brackets = []
    for place, mark in marks.items():
        if mark not in OPENING:
            open_places.append(place)
            continue
        partner = last_of(open_places, marks, OPENING[mark])
        if partner is None:
            continue
        del open_places[open_places.index(partner) :]
        brackets.append(bracket_between(prompt, partner, place))
    return brackets


def last_of(places: list[int], marks: Mapping[int, str], wanted: str) -> int | None:
    return next((place for place in reversed(places) if marks[place] == wanted), None)


def bracket_between(prompt: str, start: int, end: int) -> Bracket:
    if prompt[start] == "[":
        return Bracket(start, end, end, 1 / STEP, is_numbered=False)
    number = NUMBER.search(prompt, start + 1, end)
    if number is None:
        return Bracket(start, end, end, STEP, is_numbered=False)
    return Bracket(start, number.start(), end, float(number[1]), is_numbered=True)

r"""Prompts with alternatives: `a {red|blue} house`, `{2::day|1::night}`, `a __animal__`.

Alternatives without weights are all taken, one after the other. Those with weights, a wildcard (a name between double
underscores) and all within these are drawn by the seed of the picture. Braces nest; `\{`, `\|`, `\}` and `\_` stand for the
character itself. All other backslashes stay, for they belong to the weighting of words.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from aigc_cli.core.errors import UsageError

TOKEN = re.compile(r"\\\\|\\(?P<escaped>[{}|_])|__(?P<wildcard>[\w./-]+?)__|(?P<mark>[{}|])")
WEIGHT = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*::")
DEEPEST = 32  # braces within braces


@dataclass(frozen=True, slots=True)
class Wildcard:
    """Stands for a line of the file of that name."""

    name: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several. weights: how often each is to be drawn, in proportion; None: every one is taken in turn."""

    options: tuple[Template, ...]
    weights: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Template:
    parts: tuple[str | Choice | Wildcard, ...]


@dataclass
class Opened:
    """A brace that is not closed yet, or the whole text. options: those begun, each with its parts so far."""

    at: int
    options: list[list[str | Choice | Wildcard]] = field(default_factory=lambda: [[]])

    def add(self, part: str | Choice | Wildcard) -> None:
        """Joined to text that stands before, so that a weight is found whole."""
        parts = self.options[-1]
        if isinstance(part, str) and parts and isinstance(parts[-1], str):
            parts[-1] += part
        elif part:
            parts.append(part)


def parse(text: str) -> Template:
    """Raises: UsageError for a brace without its partner, with the place, and for weights that are all 0."""
    opened, at = [Opened(0)], 0
    for token in TOKEN.finditer(text):
        opened[-1].add(text[at : token.start()])
        at = token.end()
        if name := token["wildcard"]:
            opened[-1].add(Wildcard(name))
        elif token["mark"] == "{":
            opened.append(Opened(token.start()))
            if len(opened) > DEEPEST:
                raise UsageError(f"more than {DEEPEST} braces within each other", "write fewer alternatives within alternatives")
        elif token["mark"] == "|" and len(opened) > 1:
            opened[-1].options.append([])
        elif token["mark"] == "}":
            if len(opened) == 1:
                raise lone_brace("}", token.start())
            choice = closed(opened.pop())
            opened[-1].add(choice)
        else:
            opened[-1].add(token["escaped"] or token[0])
    if len(opened) > 1:
        raise lone_brace("{", opened[-1].at)
    opened[0].add(text[at:])
    return Template(tuple(opened[0].options[0]))


def lone_brace(brace: str, at: int) -> UsageError:
    hint = f"write \\{brace} for the character itself"
    return UsageError(f"the prompt's {brace} at character {at + 1} has no partner", hint)


def closed(brace: Opened) -> Choice:
    weights = []
    for parts in brace.options:
        weight = WEIGHT.match(parts[0]) if parts and isinstance(parts[0], str) else None
        weights.append(float(weight[1]) if weight else None)
        if weight:
            parts[0] = weight.string[weight.end() :]
    options = tuple(Template(tuple(parts)) for parts in brace.options)
    if all(weight is None for weight in weights):
        return Choice(options)
    return Choice(options, checked_weights(weights))


def checked_weights(weights: list[float | None]) -> tuple[float, ...]:
    """One that was not given is 1. Raises: UsageError."""
    given = tuple(1.0 if weight is None else weight for weight in weights)
    if not any(given):
        raise UsageError("all weights of a choice are 0", "give one of them another")
    return given


def combinations(template: Template) -> Iterator[Template]:
    """The template with each of its alternatives in turn; what remains in these is drawn."""
    pools = [list(spelled_out(part)) for part in template.parts]
    for chosen in itertools.product(*pools):
        yield Template(tuple(part for parts in chosen for part in parts))


def spelled_out(part: str | Choice | Wildcard) -> Iterator[tuple[str | Choice | Wildcard, ...]]:
    if isinstance(part, Choice) and part.weights is None:
        for option in part.options:
            yield from (each.parts for each in combinations(option))
    else:
        yield (part,)


def count_combinations(template: Template) -> int:
    """How many there are, without making them."""
    choices = [part for part in template.parts if isinstance(part, Choice) and part.weights is None]
    return math.prod(sum(map(count_combinations, choice.options)) for choice in choices)

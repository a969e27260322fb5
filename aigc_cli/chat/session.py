"""A conversation under way: what was said, with which model and settings."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aigc_cli.chat.parameters import Parameters, build_request
from aigc_cli.core.engine import TextEngine
from aigc_cli.core.events import Done, Event, TextDelta
from aigc_cli.core.request import Message, TextRequest

OpenModel = Callable[[str], tuple[TextEngine, dict[str, Any]]]
"""A model's name -> its engine, and the options that the user's settings ask of that model."""


@dataclass(frozen=True)
class Turn:
    """A question and its answer. interrupted: the user stopped the answer."""

    question: str
    answer: str
    interrupted: bool = False


def to_messages(system: str | None, turns: Sequence[Turn], question: str | None = None) -> tuple[Message, ...]:
    """The conversation as an engine takes it."""
    messages = [Message("system", system)] if system else []
    for turn in turns:
        messages += [Message("user", turn.question), Message("assistant", turn.answer)]
    return (*messages, *([] if question is None else [Message("user", question)]))


@dataclass
class Session:
    """The state of one chat. It owns its engines.

    parameters: what was asked for here, on the command line or in a file.  standing: what the user's settings ask of
    this model, which counts after that.  attached: texts that go before the next question.  finished: what each answer
    took, also of turns taken back.  file: where the conversation was saved to or loaded from.
    open_base: opens the engine's model without its adapter; None where it has none.
    """

    engine: TextEngine
    open_model: OpenModel
    parameters: dict[str, Any] = field(default_factory=dict)
    standing: dict[str, Any] = field(default_factory=dict)
    system: str | None = None
    turns: list[Turn] = field(default_factory=list)
    attached: list[str] = field(default_factory=list)
    finished: list[Done] = field(default_factory=list)
    file: Path | None = None
    open_base: Callable[[], TextEngine] | None = None
    base: TextEngine | None = None

    @property
    def in_force(self) -> Parameters:
        return {**self.standing, **self.parameters}

    def ask(self, text: str, *, replace_last: bool = False) -> Generator[Event, None, None]:
        """Asks, after the texts attached, and yields what happens.

        The turn joins the history when the stream ends, or with what was said so far when the caller closes it. After
        an error, or when nothing was said, the history stays as it was. replace_last: in the last turn's place.
        """
        before = self.turns[:-1] if replace_last else list(self.turns)
        question = text if replace_last else "\n\n".join([*self.attached, text])
        request = build_request(to_messages(self.system, before, question), self.in_force)
        said: list[str] = []
        ended = False
        try:
            with closing(self.engine.stream(request)) as stream:
                for event in stream:
                    if isinstance(event, TextDelta):
                        said.append(event.text)
                    elif isinstance(event, Done):
                        ended = True
                        self.finished.append(event)
                    yield event
        except Exception:
            said.clear()
            raise
        finally:
            if answer := "".join(said):
                self.turns = [*before, Turn(question, answer, interrupted=not ended)]
                self.attached = self.attached if replace_last else []

    def switch(self, name: str) -> None:
        """Goes on with another model. The old one is given up only when the new one is there."""
        engine, standing = self.open_model(name)
        self.close()
        self.engine, self.standing = engine, standing
        self.base = self.open_base = None

    def comparison(self, text: str = "") -> TextRequest:
        """What base and tuned are both asked: this text, or the last question again. With the same seed."""
        before = self.turns if text else self.turns[:-1]
        question = "\n\n".join([*self.attached, text]) if text else self.turns[-1].question
        seed = secrets.randbits(32)
        return build_request(to_messages(self.system, before, question), {"seed": seed, **self.in_force})

    def close(self) -> None:
        self.engine.close()
        if self.base:
            self.base.close()

    def clear(self) -> None:
        self.turns, self.attached = [], []

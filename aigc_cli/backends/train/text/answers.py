"""What the model says to prompts of rows that were kept back."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from aigc_cli.backends.torch_text import TorchTextEngine
from aigc_cli.backends.train.text.questions import Question
from aigc_cli.backends.train.update import Abandoned
from aigc_cli.core.errors import ContextOverflowError
from aigc_cli.core.events import Answer, Progress, TextDelta
from aigc_cli.core.request import Sampling, TextRequest


def answers(
    engine: TorchTextEngine,
    questions: Sequence[Question],
    *,
    step: int,
    max_new_tokens: int,
    should_stop: Callable[[], bool],
) -> Generator[Progress, None, list[Answer]]:
    """The likeliest answer to each (greedy, so that base and tuned can be compared); "" where the prompt leaves no room.

    Raises: Abandoned.
    """
    found = []
    try:
        for index, question in enumerate(questions):
            text = answer(engine, question, max_new_tokens, should_stop)
            prompt = question.messages[-1].content
            found.append(Answer(index=index, step=step, prompt=prompt, text=text, reference=question.reference))
            yield Progress(phase="answering", done=index + 1, total=len(questions), unit="rows")
    finally:
        engine.forget()  # the next answers come from other weights
    return found


def answer(engine: TorchTextEngine, question: Question, max_new_tokens: int, should_stop: Callable[[], bool]) -> str:
    """At most so many tokens, fewer where the context leaves no more; "" where it leaves none."""
    try:
        return said(engine, question, max_new_tokens, should_stop)
    except ContextOverflowError:
        pass
    try:
        return said(engine, question, None, should_stop)  # all that is left, which is less
    except ContextOverflowError:
        return ""


def said(engine: TorchTextEngine, question: Question, max_new_tokens: int | None, should_stop: Callable[[], bool]) -> str:
    """Raises: ContextOverflowError, Abandoned."""
    request = TextRequest(
        messages=question.messages, mode=question.mode, sampling=Sampling(temperature=0.0), max_new_tokens=max_new_tokens, seed=0
    )
    pieces = []
    for event in engine.stream(request):
        if should_stop():
            raise Abandoned
        if isinstance(event, TextDelta):
            pieces.append(event.text)
    return "".join(pieces)

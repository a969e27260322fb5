"""A text engine that answers from a script: the commands' tests need no weights."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import ClassVar

from aigc_cli.core.engine import EngineOptions, ModelSource
from aigc_cli.core.events import Done, Event, Loaded, ReasoningDelta, TextDelta
from aigc_cli.core.request import Message, TextRequest


class FakeTextEngine:
    """Says `replies[k]` to its k-th request, word by word, and remembers the requests.

    Without a reply left it echoes the last message. A reply may be a list of events, or an exception to raise.
    """

    replies: ClassVar[list[object]] = []
    requests: ClassVar[list[TextRequest]] = []
    sources: ClassVar[list[ModelSource]] = []
    closed: ClassVar[int] = 0

    def __init__(self, source: ModelSource, options: EngineOptions) -> None:
        FakeTextEngine.sources.append(source)
        self.source, self.options = source, options
        names = tuple(str(path) for path, _ in options.adapters) or None
        self.loaded = Loaded(
            model=source.name, device="cpu", dtype="float32", seconds=0.01, reason="fake", context_length=2048, adapters=names
        )

    def stream(self, request: TextRequest) -> Generator[Event, None, None]:
        FakeTextEngine.requests.append(request)
        reply = FakeTextEngine.replies.pop(0) if FakeTextEngine.replies else request.messages[-1].content
        if isinstance(reply, BaseException):
            raise reply
        events = list(self.deltas(reply, request.n)) if isinstance(reply, str) else list(reply)  # type: ignore[call-overload]
        for event in events:
            if isinstance(event, BaseException):
                raise event
            yield event
        if any(isinstance(event, Done) for event in events):
            return
        count = sum(isinstance(event, (TextDelta, ReasoningDelta)) for event in events)
        yield Done(
            t=0.5,
            finish_reason="stop",
            prompt_tokens=self.count_tokens(request.messages),
            completion_tokens=count,
            ttft=0.1,
            tokens_per_second=42.0,
            seconds=0.5,
            seed=request.seed if request.seed is not None else 7,
            model=self.source.name,
            device="cpu",
            dtype="float32",
            mode="chat" if request.mode == "auto" else request.mode,
        )

    def deltas(self, reply: str, n: int) -> Iterator[Event]:
        words = reply.split(" ")
        for at, word in enumerate(words):
            for index in range(n):
                yield TextDelta(text=word if at == 0 else f" {word}", index=index, t=0.1 * (at + 1))

    def count_tokens(self, messages: tuple[Message, ...]) -> int:
        return sum(len(message.content.split()) for message in messages)

    def close(self) -> None:
        FakeTextEngine.closed += 1

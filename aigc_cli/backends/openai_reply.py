"""What an OpenAI-compatible endpoint streams, put together: its JSON objects go in, events come out."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any

from aigc_cli.backends.sse import NotAStream
from aigc_cli.backends.text_stream import Channel, DeltaBuffer
from aigc_cli.core.events import Event, ReasoningDelta, TextDelta
from aigc_cli.core.request import TextRequest

DELTAS: dict[Channel, type[TextDelta] | type[ReasoningDelta]] = {"text": TextDelta, "reasoning": ReasoningDelta}


class Choice:
    """One completion. Thoughts that come in a field of their own have a buffer of their own."""

    def __init__(self, stops: tuple[str, ...], mode: str) -> None:
        self.finish_reason: str | None = None
        self.has_begun = False
        self.buffers: dict[Channel, DeltaBuffer] = {
            "reasoning": DeltaBuffer(in_reasoning=True),
            "text": DeltaBuffer(stops, reasoning=mode == "chat"),
        }
        self.decoders = {channel: codecs.getincrementaldecoder("utf-16-le")("replace") for channel in self.buffers}

    def feed(self, channel: Channel, text: str) -> list[tuple[Channel, str]]:
        """The pieces that may be shown. Halves of a surrogate pair, as JSON escapes can bring them, are joined first."""
        if not text or self.buffers["text"].stopped:
            return []
        self.has_begun = True
        pieces = self.flush("reasoning") if channel == "text" else []
        text = self.decoders[channel].decode(text.encode("utf-16-le", "surrogatepass"))
        pieces += self.buffers[channel].feed(text)
        if self.buffers["text"].stopped:
            self.finish_reason = "stop"
        return pieces

    def flush(self, channel: Channel) -> list[tuple[Channel, str]]:
        buffer = self.buffers[channel]
        return buffer.feed(self.decoders[channel].decode(b"", final=True)) + buffer.flush()


class Reply:
    """All completions of one request, and what the endpoint says about them.

    first_at, last_at: seconds when the first and the last piece arrived; None before the first.
    usage, model: as the endpoint reports them, if it does.  characters: how many came.
    """

    def __init__(self, request: TextRequest, mode: str) -> None:
        self.choices = [Choice(request.stop, mode) for _ in range(request.n)]
        self.first_at: float | None = None
        self.last_at: float | None = None
        self.usage: dict[str, Any] = {}
        self.model: str | None = None
        self.characters = 0

    @property
    def is_finished(self) -> bool:
        return all(choice.finish_reason for choice in self.choices)

    @property
    def has_stopped(self) -> bool:
        """Whether every completion met a stop string here, so that what follows is of no use."""
        return all(choice.buffers["text"].stopped for choice in self.choices)

    def take(self, chunk: dict[str, Any], t: float) -> Iterator[Event]:
        """The events of one object. Raises: NotAStream for one of an unknown form."""
        if isinstance(chunk.get("usage"), dict):
            self.usage = chunk["usage"]
        if isinstance(chunk.get("model"), str):
            self.model = chunk["model"]
        for part in as_list(chunk.get("choices")):
            yield from self._take_choice(part, t)

    def _take_choice(self, part: dict[str, Any], t: float) -> Iterator[Event]:
        index = part.get("index") or 0
        delta = part.get("delta") or part.get("message") or part  # a chat's piece, a chat's whole, a completion's piece
        if index not in range(len(self.choices)) or not isinstance(delta, dict):
            raise NotAStream(json.dumps(part, ensure_ascii=False))
        choice = self.choices[index]
        thought = as_text(delta.get("reasoning_content") or delta.get("reasoning"))
        text = as_text(delta.get("content") or delta.get("text"))
        if thought or text:
            self.characters += len(thought) + len(text)
            self.first_at, self.last_at = self.first_at if self.first_at is not None else t, t
        yield from self._deltas(index, choice.feed("reasoning", thought) + choice.feed("text", text), t)
        if reason := as_text(part.get("finish_reason")):
            choice.finish_reason = choice.finish_reason or reason

    def end(self) -> None:
        """The endpoint said that this was all: what has begun has ended, also where no reason was given."""
        for choice in self.choices:
            if choice.has_begun and not choice.finish_reason:
                choice.finish_reason = "stop"

    def flush(self, t: float) -> Iterator[Event]:
        """What was held back, now that nothing follows."""
        for index, choice in enumerate(self.choices):
            yield from self._deltas(index, choice.flush("reasoning") + choice.flush("text"), t)

    def _deltas(self, index: int, pieces: list[tuple[Channel, str]], t: float) -> Iterator[Event]:
        for channel, piece in pieces:
            yield DELTAS[channel](text=piece, index=index, t=t)

    def count(self, *path: str) -> int | None:
        """A number of tokens from the endpoint's own report; None where it says nothing."""
        value: Any = self.usage
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value if isinstance(value, int) else None

    def tokens_per_second(self) -> float | None:
        """Of decoding: tokens after each completion's first, over the time from the first piece to the last."""
        tokens = (self.count("completion_tokens") or 0) - len(self.choices)
        if self.first_at is None or self.last_at is None or tokens < 1 or self.last_at <= self.first_at:
            return None
        return tokens / (self.last_at - self.first_at)


def as_list(value: Any) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise NotAStream(json.dumps(value, ensure_ascii=False))
    return value


def as_text(value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise NotAStream(json.dumps(value, ensure_ascii=False))
    return value or ""

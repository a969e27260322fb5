"""Groups of pictures through the engine, whatever happens: less memory than they need, one that cannot be drawn."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from aigc_cli.batch.plan import Item
from aigc_cli.core.errors import AigcError, OutOfMemoryError
from aigc_cli.core.events import Caution, Event, ImageStep
from aigc_cli.core.image import Drawn, ImageEngine, ImageRequest, Pixels, Previews


@dataclass(frozen=True)
class Picture:
    """An item that was drawn and is to be kept. batch_size, position: how many ran together, and its place among them, from 0.

    cache_drift: as in Drawn.
    """

    item: Item
    pixels: Pixels
    t: float
    batch_size: int
    position: int
    score: float | None = None
    cache_drift: float | None = None


@dataclass(frozen=True)
class Rejected:
    """An item that was drawn and, by its score, is not worth keeping."""

    item: Item
    score: float


@dataclass(frozen=True)
class Failure:
    """An item that could not be drawn."""

    item: Item
    error: AigcError


Outcome = Picture | Rejected | Failure
E = TypeVar("E")


class Drawer:
    """Draws with one engine, and remembers how much of each kind has proved to be too much at once."""

    def __init__(self, engine: ImageEngine, previews: Previews) -> None:
        self.engine, self.previews = engine, previews
        self.limits: dict[Hashable, int] = {}

    def encode_ahead(self, requests: Sequence[ImageRequest]) -> Iterator[Event]:
        """As the engine's, but measures are taken when memory runs out. Raises: OutOfMemoryError when none is left."""
        while error := (yield from attempted(self.engine.encode_ahead(requests))):
            measure = self.engine.use_less_memory() if isinstance(error, OutOfMemoryError) else None
            if measure is None:
                raise error
            yield Caution(message=f"out of memory: {measure}")

    def draw(self, items: Sequence[Item], previews: Previews | None = None) -> Generator[Event | Outcome, None, None]:
        """Items of one kind: their events, counted as in the plan, and an outcome for each. Less is drawn at once when memory runs out."""
        limit = self.limits.get(self.engine.kind(items[0].request), len(items))
        for at in range(0, len(items), limit):
            yield from self._draw_together(items[at : at + limit], self.previews if previews is None else previews)

    def _draw_together(self, items: Sequence[Item], previews: Previews) -> Generator[Event | Outcome, None, None]:
        events = self.engine.stream([item.request for item in items], previews)
        error = yield from attempted(of_the_plan(event, items) for event in events)
        if error is None:
            return
        if len(items) > 1:
            yield from self._draw_in_halves(items, previews, error)
        elif isinstance(error, OutOfMemoryError) and (measure := self.engine.use_less_memory()):
            yield Caution(message=f"out of memory: {measure}")
            yield from self._draw_together(items, previews)
        else:
            yield Failure(items[0], error)

    def _draw_in_halves(self, items: Sequence[Item], previews: Previews, error: AigcError) -> Iterator[Event | Outcome]:
        half = (len(items) + 1) // 2
        if isinstance(error, OutOfMemoryError):
            self.limits[self.engine.kind(items[0].request)] = half
            yield Caution(message=f"out of memory with {len(items)} pictures at once: from here on {half}")
        for part in (items[:half], items[half:]):
            yield from self.draw(part, previews)


def attempted(events: Iterator[E]) -> Generator[E, None, AigcError | None]:
    """Passes events on. Returns: what ended them early; None when nothing did."""
    try:
        yield from events
    except AigcError as error:
        forget_frames(error)
        return error
    return None


def forget_frames(error: BaseException) -> None:
    """What was to be drawn lies in the frames of the traceback, which is kept, and of those that it came from."""
    each: BaseException | None = error
    while each:
        traceback.clear_frames(each.__traceback__)
        each = each.__cause__ or each.__context__


def of_the_plan(event: Event, items: Sequence[Item]) -> Event | Outcome:
    """An engine counts within the group, everybody else within the plan."""
    if isinstance(event, Drawn):
        return Picture(items[event.index], event.pixels, event.t, len(items), event.index, cache_drift=event.cache_drift)
    if isinstance(event, ImageStep):
        return dataclasses.replace(event, index=items[event.index].index)
    return event

"""Which pictures are kept: none below a score, the best of several."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Container, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aigc_cli.batch.plan import Item
from aigc_cli.commands.image_draw import Drawer, Failure, Outcome, Picture, Rejected
from aigc_cli.commands.image_order import Choice
from aigc_cli.core.errors import AigcError
from aigc_cli.core.events import Caution, Event, ImageStep, Progress
from aigc_cli.core.image import ImageRequest

if TYPE_CHECKING:
    from pathlib import Path

    from aigc_cli.backends.image.score import AestheticHead, ClipScorer

STEPS = "steps"
Groups = Callable[[Sequence[Item]], Sequence[Sequence[Item]]]


class Judge:
    """Scores pictures, by CLIP or by an aesthetic head on it."""

    def __init__(self, clip: ClipScorer, head: AestheticHead | None) -> None:
        self.clip, self.head = clip, head
        self.said: set[str] = set()  # prompts whose remarks are made

    def score(self, picture: Picture) -> Generator[Event, None, float]:
        prompt = picture.item.request.prompt
        if self.head:
            return self.head.score([picture.pixels])[0]
        if prompt not in self.said and (remark := self.clip.remark(prompt)):
            yield Caution(message=remark)
        self.said.add(prompt)
        return self.clip.score([picture.pixels], [prompt])[0]


def open_judge(choice: Choice, folder: Path, device: str) -> Judge:
    """In float32, whatever draws: a score should not depend on that. Raises: ModelError, OutOfMemoryError."""
    from aigc_cli.backends.device import choose
    from aigc_cli.backends.image.score import AestheticHead, ClipScorer

    clip = ClipScorer(folder, choose(device, "float32"))
    return Judge(clip, AestheticHead(choice.aesthetic, clip) if choice.aesthetic else None)


@dataclass(frozen=True)
class Chooser:
    """Draws and keeps. groups: items -> those that run together.  saved: keys of pictures that are there."""

    choice: Choice
    judge: Judge
    drawer: Drawer
    groups: Groups
    saved: Container[str]

    def draw(self, items: Sequence[Item]) -> Iterator[Event | Outcome]:
        """Items of one group, each kept if it scores enough."""
        for event in self.drawer.draw(items):
            yield from self._judged(event) if isinstance(event, Picture) else (event,)

    def _judged(self, picture: Picture) -> Iterator[Event | Outcome]:
        try:
            score = yield from self.judge.score(picture)
        except AigcError as error:
            yield Failure(picture.item, error)
            return
        is_enough = self.choice.min_score is None or score >= self.choice.min_score
        yield dataclasses.replace(picture, score=score) if is_enough else Rejected(picture.item, score)

    def draw_best(self, items: Sequence[Item]) -> Iterator[Event | Outcome]:
        """Of candidates for one prompt the best, each finished if it was a draft; the others are rejected."""
        drafted = [draft_of(item, self.choice.draft_steps) for item in items]
        is_draft = any(draft.request != item.request for draft, item in zip(drafted, items, strict=True))
        if not is_draft:
            yield from self._best(self._finished(items))
            return
        best = yield from self._best_drafts(drafted)
        for group in self.groups([item for item in items if item.index in best]):
            yield from self.draw(group)

    def _finished(self, items: Sequence[Item]) -> Iterator[Event | Outcome]:
        for group in self.groups(items):
            yield from self.draw(group)

    def _best(self, events: Iterator[Event | Outcome]) -> Iterator[Event | Outcome]:
        """Lets all through but pictures, of which no more are held than are kept."""
        best: list[Picture] = []
        for event in events:
            if not isinstance(event, Picture):
                yield event
                continue
            best = sorted([*best, event], key=lambda picture: self._rank(picture.item, picture.score or 0.0))
            if len(best) > self.choice.keep:
                worst = best.pop()
                yield Rejected(worst.item, worst.score or 0.0)
        yield from best

    def _best_drafts(self, drafts: Sequence[Item]) -> Generator[Event | Outcome, None, set[int]]:
        """The indices of those that are worth finishing."""
        scores: dict[int, tuple[float, Item]] = {}
        steps = [0, sum(draft.request.steps or 0 for draft in drafts)]
        for group in self.groups(drafts):
            for event in self.drawer.draw(group, "none"):
                if isinstance(event, Picture):
                    try:
                        scores[event.item.index] = ((yield from self.judge.score(event)), event.item)
                    except AigcError as error:
                        yield Failure(event.item, error)
                elif isinstance(event, ImageStep):
                    steps[0] += 1
                    yield Progress(t=event.t, phase="drafts", done=steps[0], total=steps[1], unit=STEPS)
                else:
                    yield event
        ranking = sorted(scores, key=lambda index: self._rank(scores[index][1], scores[index][0]))
        for index in ranking[self.choice.keep :]:
            score, item = scores[index]
            yield Rejected(item, score)
        return set(ranking[: self.choice.keep])

    def _rank(self, item: Item, score: float) -> tuple[bool, float, int]:
        """The least is the best. What an earlier run has kept stays kept."""
        return item.key not in self.saved, -score, item.index


def draft_of(item: Item, steps: int | None) -> Item:
    """The item with fewer steps, of which a weak --strength leaves one at least; as it is where it has no more than those."""
    request: ImageRequest = item.request
    if steps and request.strength:
        steps = max(steps, math.ceil(1 / request.strength))
    if steps is None or steps >= (request.steps or 0):
        return item
    return dataclasses.replace(item, request=dataclasses.replace(request, steps=steps))

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
    from aigc_cli.backends import torchvision_named

    with torchvision_named():
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
        """Of candidates for one prompt the best, each finished if it was a draft; the others are rejected.

        A draft that cannot be finished makes room for the next best.
        """
        drafted = [draft_of(item, self.choice.draft_steps) for item in items]
        is_draft = any(draft.request != item.request for draft, item in zip(drafted, items, strict=True))
        if not is_draft:
            yield from self._best(self._finished(items))
            return
        ranking = yield from self._ranked_drafts(drafted)
        wanted = self.choice.keep
        while wanted and ranking:
            best, ranking = ranking[:wanted], ranking[wanted:]
            indices = {draft.index for draft, _ in best}
            wanted = yield from self._finished([item for item in items if item.index in indices])
            if wanted and ranking:
                yield Caution(message="a draft that was chosen could not be finished: the next best takes its place")
        for draft, score in ranking:
            yield Rejected(draft, score)

    def _finished(self, items: Sequence[Item]) -> Generator[Event | Outcome, None, int]:
        """Returns: how many could not be drawn, of those that no earlier run has kept."""
        failures = 0
        for group in self.groups(items):
            for event in self.draw(group):
                failures += isinstance(event, Failure) and event.item.key not in self.saved
                yield event
        return failures

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

    def _ranked_drafts(self, drafts: Sequence[Item]) -> Generator[Event | Outcome, None, list[tuple[Item, float]]]:
        """With their scores, the best first."""
        scores: list[tuple[Item, float]] = []
        steps = [0, sum(draft.request.steps or 0 for draft in drafts)]
        for group in self.groups(drafts):
            for event in self.drawer.draw(group, "none"):
                if isinstance(event, Picture):
                    try:
                        scores.append((event.item, (yield from self.judge.score(event))))
                    except AigcError as error:
                        yield Failure(event.item, error)
                elif isinstance(event, ImageStep):
                    steps[0] += 1
                    yield Progress(t=event.t, phase="drafts", done=steps[0], total=steps[1], unit=STEPS)
                else:
                    yield event
        return sorted(scores, key=lambda scored: self._rank(*scored))

    def _rank(self, item: Item, score: float) -> tuple[bool, float, int]:
        """The least is the best. What an earlier run has kept stays kept."""
        return item.key not in self.saved, -score, item.index


def without_drafts(items: Sequence[Item], choice: Choice) -> Iterator[Event]:
    """Says for how many --draft-steps changes nothing."""
    steps = choice.draft_steps
    if steps and (count := sum(draft_of(item, steps) is item for item in items)):
        of_all = "" if count == len(items) else f" ({count} of {len(items)} pictures)"
        message = f"--draft-steps {steps} is no fewer than the steps of a finished picture: all candidates are drawn in full{of_all}"
        yield Caution(message=message, hint="drafts take fewer: see --steps")


def draft_of(item: Item, steps: int | None) -> Item:
    """The item with fewer steps, of which a weak --strength leaves one at least; as it is where it has no more than those."""
    request: ImageRequest = item.request
    if steps and request.strength:
        steps = max(steps, math.ceil(1 / request.strength))
    if steps is None or steps >= (request.steps or 0):
        return item
    return dataclasses.replace(item, request=dataclasses.replace(request, steps=steps))

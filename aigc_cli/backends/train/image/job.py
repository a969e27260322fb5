"""The steps of a run on pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from aigc_cli.backends.train.image.objective import LearnedPicture
from aigc_cli.backends.train.image.picture_store import PictureStore
from aigc_cli.backends.train.image.plan import PicturePlan
from aigc_cli.core.finetune_image import ImageFinetuneRequest
from aigc_cli.core.sample import Origin

DRAW_DIGITS = 7  # of a content's hash, in hex: below 2**31


@dataclass(frozen=True, kw_only=True)
class ImageJob:
    """What is trained on and measured on, and with what it is proved.

    store: all rows.  training: numbers of those that the plan counts.  kept_back: of those that are measured on.
    checkpoints: the folder they go to.
    """

    request: ImageFinetuneRequest
    plan: PicturePlan
    store: PictureStore
    training: Sequence[int]
    kept_back: Sequence[int]
    checkpoints: Path

    @property
    def steps(self) -> int:
        return self.plan.steps

    @property
    def validates(self) -> bool:
        return bool(self.kept_back)

    def rows(self, number: int) -> list[LearnedPicture]:
        return [self._seen(number, picture) for picture in self.plan.step(number)]

    def origins(self, number: int) -> list[Origin]:
        return [self.origin(self.training[picture]) for picture in self.plan.step(number)]

    def epoch(self, steps_done: int) -> float:
        return self.plan.epoch(steps_done)

    def origin(self, row: int) -> Origin:
        return self.store.wanted.rows[row].origin

    def caption(self, row: int) -> str:
        """The first; what is measured is measured with it."""
        return self.store.wanted.rows[row].captions[0]

    def measured(self, row: int) -> LearnedPicture:
        """A row as it is measured, the same in every run: its noise follows from its content."""
        content = self.store.wanted.rows[row].content
        return learned_picture(self.store, row, self.caption(row), draw=int(content[:DRAW_DIGITS], 16))

    def _seen(self, number: int, picture: int) -> LearnedPicture:
        row = self.training[picture]
        captions = self.store.wanted.rows[row].captions
        view = self.plan.view(
            number,
            picture,
            captions=len(captions),
            can_be_mirrored=self.store.wanted.mirrored[row],
            caption_dropout=self.request.data.caption_dropout,
        )
        caption = "" if view.caption is None else captions[view.caption]
        return learned_picture(self.store, row, caption, is_mirrored=view.is_mirrored, draw=view.draw)


def learned_picture(store: PictureStore, row: int, caption: str, *, is_mirrored: bool = False, draw: int) -> LearnedPicture:
    return LearnedPicture(
        latents=store.latents(row, is_mirrored=is_mirrored),
        conditioning=store.conditioning(caption),
        size=torch.tensor(store.wanted.fits[row].sizes),
        draw=draw,
    )

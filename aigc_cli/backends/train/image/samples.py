"""What a model under training draws to the same prompts, time after time."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from aigc_cli.atomic_file import replace_file
from aigc_cli.backends.device import Placement
from aigc_cli.backends.image.engine import TorchImageEngine
from aigc_cli.backends.image.prompts import PromptCache
from aigc_cli.backends.image.text_encoders import encoders
from aigc_cli.backends.train.update import Abandoned
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.events import Caution, Event, Progress, SampleSheet
from aigc_cli.core.finetune_image import ImageProof
from aigc_cli.core.image import SEEDS, Drawn, ImageRequest
from aigc_cli.pictures.alpha import WHITE, image_of, laid_on
from aigc_cli.pictures.sheet import Tile, contact_sheet


class Artist:
    """Draws with a pipeline whose weights are being trained, as `aigc image` would with the result.

    requests: what is drawn, each with a seed of its own.  trains_encoders: what a prompt means changes with every step.
    """

    def __init__(
        self, pipeline: Any, source: ModelSource, placement: Placement, requests: Sequence[ImageRequest], *, trains_encoders: bool
    ) -> None:
        self.requests, self.trains_encoders = requests, trains_encoders
        self._engine = TorchImageEngine.over(pipeline, source, placement)

    def encode_prompts(self) -> Iterator[Event]:
        """Once and for all, where that is possible; the pipeline's text encoders are then wanted no more."""
        if self.requests and not self.trains_encoders:
            yield from self._engine.encode_ahead([self._engine.complete(request)[0] for request in self.requests])

    @property
    def is_encoded(self) -> bool:
        """Whether it draws without text encoders."""
        return not self.trains_encoders and not (self.requests and encoders(self._engine.pipe))

    def sheet(self, step: int, folder: Path, should_stop: Callable[[], bool]) -> Generator[Event, None, None]:
        """Draws all, one after the other, and saves them as one picture, step-00000120.png.

        Nothing is drawn at random but from their own seeds. What is odd about a prompt is said before training alone.
        Raises: Abandoned, OutOfMemoryError, AigcError for what goes wrong in the model.
        """
        if not self.requests:
            return
        if self.trains_encoders:
            self._engine.prompts = PromptCache()
        with tempfile.TemporaryDirectory(prefix="aigc-") as name:
            tiles: list[Tile] = []
            for number, request in enumerate(self.requests):
                if should_stop():
                    raise Abandoned
                path = Path(name, f"{number}.png")
                yield from of_first(step, self._draw(request, path))
                tiles.append(Tile(path, (request.prompt, f"seed {request.seed}")))
                yield Progress(phase="drawing samples", done=number + 1, total=len(self.requests), unit="pictures")
            sheet, remarks = contact_sheet(tiles)
        yield from of_first(step, [Caution(message=remark) for remark in remarks])
        yield SampleSheet(
            step=step,
            path=str(saved(sheet, folder / f"step-{step:08d}.png")),
            prompts=tuple(request.prompt for request in self.requests),
            seeds=tuple(request.seed for request in self.requests),
        )

    def _draw(self, request: ImageRequest, path: Path) -> Iterator[Caution]:
        complete, remarks = self._engine.complete(request)
        yield from (Caution(message=f"sample {request.prompt!r}: {remark}") for remark in remarks)
        for event in self._engine.stream([complete]):
            if isinstance(event, Caution):
                yield event
            elif isinstance(event, Drawn):
                laid_on(image_of(event.pixels), WHITE).save(path)


def of_first(step: int, cautions: Iterable[Caution]) -> Iterator[Caution]:
    """Works through all of them."""
    for caution in cautions:
        if step == 0:
            yield caution


def saved(sheet: Image.Image, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = BytesIO()
    sheet.save(content, "PNG")
    replace_file(path, content.getvalue())
    return path


def sample_requests(proof: ImageProof, captions: Sequence[str], side: int) -> list[ImageRequest]:
    """One for each prompt that was named, else for the first different captions. side: pixels that pictures are learnt at."""
    prompts = proof.sample_prompts or tuple(dict.fromkeys(filter(None, captions)))[: proof.samples]
    return [
        ImageRequest(prompt=prompt, seed=(proof.sample_seed + number) % SEEDS, steps=proof.sample_steps, width=side, height=side)
        for number, prompt in enumerate(prompts)
    ]

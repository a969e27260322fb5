"""Runs on a dozen small pictures, with a tiny Stable Diffusion pipeline in a folder."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image, ImageDraw

from aigc_cli.backends.train.image.loaded_run import LoadedImageRun
from aigc_cli.backends.train.image.prepared_run import PreparedImageRun
from aigc_cli.backends.train.image.trainer import ImageTrainer
from aigc_cli.backends.train.run import Outcome
from aigc_cli.core.engine import EngineOptions, ModelSource
from aigc_cli.core.events import Event, TrainStep
from aigc_cli.core.finetune import Optimization, Pace
from aigc_cli.core.finetune_image import Diffusion, ImageFinetuneRequest, ImageProof, ImageTuning, PictureChoice
from aigc_cli.picture_data.check import check_pictures
from aigc_cli.picture_data.dataset import PictureDataset
from aigc_cli.store.checkpoints import newest
from tests.backends.image.tiny_pipelines import tiny_pipeline

T = TypeVar("T")
SIZES = ((64, 64), (96, 64), (64, 96))
CAPTIONS = ("a red disc", "一个红色的圆", "a disc on the left", "")
RESOLUTION = 32


def followed(stream: Generator[Event, None, T]) -> tuple[list[Event], T]:
    events = []
    while True:
        try:
            events.append(next(stream))
        except StopIteration as end:
            return events, end.value


def save_pictures(folder: Path, count: int = 12, *, mode: str = "RGB") -> Path:
    """Of three sizes and four captions."""
    folder.mkdir(parents=True)
    for number in range(count):
        width, height = SIZES[number % len(SIZES)]
        picture = Image.new(mode, (width, height), (255, 255, 255, 0)[: len(mode)])
        ImageDraw.Draw(picture).ellipse((4, 4, 20 + 2 * number, 20 + 2 * number), fill=(200, 10 * number, 30, 255)[: len(mode)])
        picture.save(folder / f"{number:02}.png")
        (folder / f"{number:02}.txt").write_text(CAPTIONS[number % len(CAPTIONS)], "utf-8")
    return folder


def pictures(folder: Path, **options: Any) -> PictureDataset:
    _, dataset = followed(check_pictures([str(folder)], **{"val_split": 0.25, "rejects": None, **options}))
    return dataset


def save_model(folder: Path, family: str = "sd") -> ModelSource:
    tiny_pipeline(family).save_pretrained(folder)
    return ModelSource(name=f"tiny-{family}", kind="diffusers", path=folder)


def a_request(**groups: dict[str, Any]) -> ImageFinetuneRequest:
    """Groups of options by their names in the request, each with those that differ from what the tests want."""

    def group(name: str, **usual: Any) -> dict[str, Any]:
        return {**usual, **groups.get(name, {})}

    return ImageFinetuneRequest(
        model="tiny",
        data=PictureChoice(**group("data", paths=("pictures",), resolution=RESOLUTION, flip=True)),
        tuning=ImageTuning(**group("tuning", lora_rank=4)),
        diffusion=Diffusion(**group("diffusion")),
        optimization=Optimization(**group("optimization", learning_rate=1e-2)),
        pace=Pace(**group("pace", batch_size=2, max_steps=6, eval_steps=3)),
        proof=ImageProof(**group("proof", samples=1, sample_steps=1)),
    )


def prepared(
    source: ModelSource, dataset: PictureDataset, request: ImageFinetuneRequest, folder: Path
) -> tuple[list[Event], PreparedImageRun]:
    trainer = ImageTrainer(source, EngineOptions(device="cpu", dtype="float32"), request)
    return followed(trainer.prepare(dataset, folder / "data"))


def loaded(source: ModelSource, dataset: PictureDataset, request: ImageFinetuneRequest, folder: Path) -> LoadedImageRun:
    _, run = prepared(source, dataset, request, folder)
    return followed(run.load())[1]


def trained(run: LoadedImageRun, folder: Path, *, steps: int = 999) -> tuple[list[Event], Outcome]:
    """Goes on from the newest checkpoint in the folder, if there is one, and stops after so many steps."""
    events: list[Event] = []

    def should_stop() -> bool:
        return sum(isinstance(event, TrainStep) for event in events) >= steps

    checkpoints = folder / "checkpoints"
    found = newest(checkpoints) if checkpoints.exists() else None
    stream = run.train(checkpoints, found, folder / "data", should_stop)
    while True:
        try:
            events.append(next(stream))
        except StopIteration as end:
            return events, end.value

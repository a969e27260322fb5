"""A trainer of image models without one: its losses and its sheets follow from the step alone, and trouble comes by script."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from PIL import Image

from aigc_cli.backends.train.job import Scores
from aigc_cli.backends.train.run import Outcome
from aigc_cli.core.engine import EngineOptions, ModelSource
from aigc_cli.core.events import Checkpoint, Evaluation, Event, Loaded, SampleSheet, TrainStep
from aigc_cli.core.finetune_image import ImageFinetuneRequest
from aigc_cli.picture_data.dataset import PictureDataset
from aigc_cli.store import checkpoints
from aigc_cli.store.checkpoints import Found
from aigc_cli.training.data_facts import PictureFacts
from aigc_cli.training.preflight import Preflight
from aigc_cli.training.report import HardRow, ModelFacts, Searched

LORA = "pytorch_lora_weights.safetensors"


class FakeImageTrainer:
    """Saves a checkpoint at every validation. stop_at: a step after which it is as if Ctrl-C had been pressed, once."""

    requests: ClassVar[list[ImageFinetuneRequest]] = []
    stop_at: ClassVar[int | None] = None

    def __init__(self, source: ModelSource, options: EngineOptions, request: ImageFinetuneRequest) -> None:
        FakeImageTrainer.requests.append(request)
        placement = SimpleNamespace(device="cpu", dtype="float32" if options.dtype == "auto" else options.dtype)
        self.base, self.request = SimpleNamespace(source=source, placement=placement), request

    def first_part(self, dataset: PictureDataset, folder: Path) -> Generator[Event, None, None]:
        yield from ()

    def prepare(self, dataset: PictureDataset, folder: Path) -> Generator[Event, None, FakePreparedRun]:
        yield from ()
        folder.mkdir(exist_ok=True)
        (folder / "latents.bin").write_bytes(b"latents")
        buckets = (((64, 64), len(dataset.of("train"))),)
        statistics = SimpleNamespace(buckets=buckets, changes={"enlarged": 2}, cut_captions=1)
        return FakePreparedRun(self.base, self.request, dataset, SimpleNamespace(statistics=statistics, close=lambda: None))


@dataclass(frozen=True)
class FakePreparedRun:
    base: Any
    request: ImageFinetuneRequest
    dataset: PictureDataset
    data: Any

    training_pictures = 100

    def preflight(self, facts: PictureFacts) -> Preflight:
        first = self.dataset.of("train")[0]
        return Preflight(
            model=self.base.source.name, method=self.request.tuning.method, mode="image", device="cpu",
            dtype=self.base.placement.dtype, trained_parameters=1000, total_parameters=50_000, data=facts,
            sample=((first.captions[0], True),), sample_origin=str(first.origin), sample_size=(64, 64),
            memory=(("weights", 2**20),), free=2**30, steps=self.request.pace.max_steps or 4, seconds=None,
        )  # fmt: skip

    def refuse_misfit(self) -> None:
        pass

    def load(self) -> Generator[Event, None, FakeLoadedRun]:
        yield Loaded(model=self.base.source.name, device="cpu", dtype="float32", seconds=0.1)
        rate = self.request.optimization.learning_rate or 1e-4
        resolved = replace(self.request, optimization=replace(self.request.optimization, learning_rate=rate))
        return FakeLoadedRun(self.base.source, resolved, self.dataset)


@dataclass(frozen=True)
class FakeLoadedRun:
    source: ModelSource
    request: ImageFinetuneRequest
    dataset: PictureDataset

    @property
    def facts(self) -> ModelFacts:
        return ModelFacts(
            name=self.source.name, revision=None, device="cpu", dtype="float32", method=self.request.tuning.method, mode="image",
            trained_parameters=1000, total_parameters=50_000,
        )  # fmt: skip

    def seconds_per_picture(self) -> float:
        return 0.5

    def train(
        self, checkpoints_folder: Path, resume_from: Found | None, data: Path, should_stop: Callable[[], bool]
    ) -> Generator[Event, None, Outcome]:
        steps = self.request.pace.max_steps or 4
        every = self.request.pace.eval_steps or 2
        if resume_from is None:
            yield from self.measure(0, checkpoints_folder.parent)
        for step in range((resume_from.step if resume_from else 0) + 1, steps + 1):
            yield TrainStep(
                t=0.1 * step, step=step, steps=steps, epoch=step / 2, loss=1 / step, learning_rate=1e-4, grad_norm=1.0, samples=2,
                pictures=2 * step, pictures_per_second=3.25,
            )  # fmt: skip
            if step % every == 0:
                yield from self.measure(step, checkpoints_folder.parent)
                yield self.save(checkpoints_folder, step)
            if step == FakeImageTrainer.stop_at:
                FakeImageTrainer.stop_at = None
                raise KeyboardInterrupt
        row = self.dataset.of("train")[0]
        hardest = (HardRow(file=row.origin.file, line=row.origin.line, loss=0.75, text=row.captions[0]),)
        return Outcome(
            finish_reason="max_steps", best_step=steps, seconds=2.0, hardest=hardest, searched=Searched(rows=5, drawn_from=9),
            scores=Scores(),
        )  # fmt: skip

    def measure(self, step: int, run: Path) -> Generator[Event, None, None]:
        yield Evaluation(name="loss", value=1 / (1 + step), step=step, samples=1)
        prompts = self.request.proof.sample_prompts or ("a cat",)
        path = run / "samples" / f"step-{step:08d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (16, 8), (min(255, 20 * step), 0, 0)).save(path)
        yield SampleSheet(step=step, path=str(path), prompts=prompts, seeds=tuple(range(len(prompts))))

    def save(self, folder: Path, step: int) -> Checkpoint:
        path = checkpoints.publish(folder, step, best=True, write=lambda place: (place / "x").touch(), info={})
        return Checkpoint(step=step, path=str(path), best=True)

    def write_result(self, folder: Path) -> None:
        (folder / LORA).write_bytes(b"\x02\0\0\0\0\0\0\0{}")


def install(patch: pytest.MonkeyPatch, folder: Path) -> type[FakeImageTrainer]:
    """Puts the trainer in every image model's place; any name resolves to a model in `folder`."""

    def resolve(name: str, **options: object) -> Generator[Event, None, ModelSource]:
        yield from ()
        return ModelSource(name=name, kind="diffusers", path=folder)

    folder.mkdir(exist_ok=True)
    (folder / "model_index.json").write_text("{}")
    patch.setattr("aigc_cli.models.resolve_image.resolve_image", resolve)
    patch.setitem(__import__("aigc_cli.backends").backends.ENGINES["train-image"], "diffusers", "tests.fake_pictures:FakeImageTrainer")
    patch.setattr(FakeImageTrainer, "requests", [])
    patch.setattr(FakeImageTrainer, "stop_at", None)
    return FakeImageTrainer

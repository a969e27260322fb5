"""What training on pictures brings to the stages of `aigc finetune`."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from aigc_cli.commands.finetune_order import Order
from aigc_cli.core.engine import EngineOptions, ModelSource
from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Caution, Event, Planned
from aigc_cli.core.finetune_image import ImageFinetuneRequest
from aigc_cli.core.sample import Split
from aigc_cli.core.training_request import TrainingRequest
from aigc_cli.models.kinds import refuse_other_modality
from aigc_cli.store import run_record
from aigc_cli.store.blueprint import Tables, canonical, existing_autoencoder, read_tables
from aigc_cli.store.run_folder import RunFolder
from aigc_cli.training.data_facts import Bucket, DataFile, PictureFacts, PictureSplit
from aigc_cli.training.preflight import Preflight

if TYPE_CHECKING:
    from aigc_cli.backends.train.image.autoencoder_run import AutoencoderRun
    from aigc_cli.backends.train.image.loaded_run import LoadedImageRun
    from aigc_cli.backends.train.image.prepared_run import PreparedImageRun
    from aigc_cli.backends.train.image.trainer import ImageTrainer
    from aigc_cli.picture_data.dataset import PictureDataset, PictureRow

WITH_TEXTS = "it learns from texts, without --image: aigc finetune DATA -m {name} -o mine/"
SPLITS: tuple[Split, ...] = ("train", "validation")


class Pictures:
    """A `Kind`."""

    def refuse_model(self, request: TrainingRequest) -> None:
        if not of_pictures(request).tuning.from_scratch:
            refuse_other_modality(request.model, "image", WITH_TEXTS)

    def check(self, order: Order, run: RunFolder, rejects: Path | None) -> Generator[Event, None, PictureDataset]:
        from aigc_cli.picture_data.check import check_pictures

        request = of_pictures(order.request)
        data = request.data
        if "-" in data.paths:
            raise UsageError("pictures cannot come from stdin", "name a folder of them, or an index: metadata.jsonl")
        dataset = yield from check_pictures(data.paths, data.validation, val_split=data.val_split, skip_bad=data.skip_bad, rejects=rejects)
        if request.pace.early_stopping_patience and not dataset.of("validation"):
            yield Caution(message="--early-stopping-patience has no effect: no picture is kept back for validation")
        return dataset

    def source(self, order: Order) -> Generator[Event, None, ModelSource]:
        from aigc_cli.models.resolve_image import resolve_image
        from aigc_cli.render.confirm import terminal_confirm

        request = of_pictures(order.request)
        if request.tuning.from_scratch:
            return ModelSource(name=request.tuning.from_scratch, kind="diffusers")
        return (yield from resolve_image(request.model, assume_yes=order.assume_yes, confirm=terminal_confirm()))

    def open(self, source: ModelSource, order: Order) -> ImageTrainer:
        from aigc_cli.backends import open_image_trainer

        return open_image_trainer(source, EngineOptions(device=order.device, dtype=order.dtype), of_pictures(order.request))

    def first_part(self, trainer: ImageTrainer, dataset: PictureDataset, folder: Path) -> Generator[Event, None, AutoencoderRun | None]:
        return (yield from trainer.first_part(dataset, folder))

    def files(self, dataset: PictureDataset) -> tuple[run_record.DataFile, ...]:
        return tuple(run_record.DataFile(file.path, file.sha256, file.split) for file in dataset.files)

    def fingerprint(self, request: TrainingRequest, source: ModelSource) -> str:
        from aigc_cli.models.fingerprint import digest, fingerprint, fingerprint_path

        tables = self.blueprint(request)
        if not tables:
            return fingerprint(source)
        existing = existing_autoencoder(tables)
        return digest("blueprint", canonical(tables), *([fingerprint_path(existing)] if existing else []))

    def blueprint(self, request: TrainingRequest) -> Tables:
        path = of_pictures(request).tuning.from_scratch
        return read_tables(Path(path)) if path else {}

    def facts(self, dataset: PictureDataset, prepared: PreparedImageRun) -> PictureFacts:
        found = prepared.data.statistics
        training = sorted(dataset.of("train"), key=lambda row: row.width * row.height)
        return PictureFacts(
            files=tuple(DataFile(path=file.path, sha256=file.sha256, size=file.size, split=file.split) for file in dataset.files),
            splits={split: split_facts(rows) for split in SPLITS if (rows := dataset.of(split))},
            buckets=tuple(Bucket(width=width, height=height, rows=rows) for (width, height), rows in found.buckets),
            sizes=tuple(dict.fromkeys((row.width, row.height) for row in (*training[:1], *training[-1:]))),
            changes={**dataset.changes, **found.changes},
            cut_captions=found.cut_captions,
            duplicates=dataset.duplicates,
            leaked=dataset.leaked,
            left_out=dataset.left_out,
        )

    def planned(self, preflight: Preflight) -> Planned:
        return preflight.planned(rows=preflight.data.splits["train"].rows)

    def inherit(self, request: TrainingRequest, run: RunFolder) -> Iterator[Event]:
        yield from ()

    def seconds(self, prepared: PreparedImageRun, loaded: LoadedImageRun) -> float:
        return loaded.seconds_per_picture() * prepared.training_pictures

    def tidy(self, run: RunFolder) -> None:
        """Latents and embeddings are made of the pictures again where they are wanted again."""
        shutil.rmtree(run.data, ignore_errors=True)


def of_pictures(request: TrainingRequest) -> ImageFinetuneRequest:
    assert isinstance(request, ImageFinetuneRequest)
    return request


def split_facts(rows: tuple[PictureRow, ...]) -> PictureSplit:
    captions = Counter(caption for row in rows for caption in row.captions)
    return PictureSplit(rows=len(rows), captions=len(captions.keys() - {""}), wordless=sum(row.captions == ("",) for row in rows))

"""The trainer of image models. Its stages are objects, each made by the one before:

ImageTrainer, a model's name and a request -> PreparedImageRun, with the pipeline in place and the pictures encoded by it ->
LoadedImageRun, ready for the first step. Of a new pipeline the autoencoder is trained before that, which an AutoencoderRun does.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

from aigc_cli.backends import device as devices
from aigc_cli.backends.image.load import be_quiet
from aigc_cli.backends.train.image.autoencoder_run import AutoencoderRun
from aigc_cli.backends.train.image.blueprint import read_blueprint
from aigc_cli.backends.train.image.buckets import settled_resolution
from aigc_cli.backends.train.image.families import open_family
from aigc_cli.backends.train.image.loading import Base, load_base, settled
from aigc_cli.backends.train.image.methods import prepare
from aigc_cli.backends.train.image.new_pipeline import build_pipeline, open_autoencoder_run
from aigc_cli.backends.train.image.noising import noising_of
from aigc_cli.backends.train.image.plan import PicturePlan
from aigc_cli.backends.train.image.prepared_pictures import PreparedPictures, prepare_pictures
from aigc_cli.backends.train.image.prepared_run import PreparedImageRun
from aigc_cli.backends.train.image.stored_weights import stored_dtype
from aigc_cli.backends.train.image.too_large import refuse_too_large
from aigc_cli.core.engine import EngineOptions, ModelSource
from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Event, Progress
from aigc_cli.core.finetune_image import ImageFinetuneRequest
from aigc_cli.picture_data.dataset import PictureDataset

PIPELINE = "pipeline"  # folder with what a new one is made of


class ImageTrainer:
    """What is known before weights are read.

    source: the model to begin with; from scratch, named after the file that describes it.
    Raises, when opened: UsageError for the device or a blueprint that is wrong, ModelError for a model that cannot be read,
    OutOfMemoryError for one that is too large whatever it is to learn.
    """

    def __init__(self, source: ModelSource, options: EngineOptions, request: ImageFinetuneRequest) -> None:
        be_quiet()
        placement = devices.choose(options.device, options.dtype)
        if (placement.device, placement.dtype) == ("cpu", "float16"):
            raise UsageError(
                "float16 is not trained in on a CPU: nothing would scale its gradients there", "use --dtype bfloat16 or float32"
            )
        blueprint = read_blueprint(Path(source.name)) if request.tuning.from_scratch else None
        self.base = Base(source, placement, blueprint, "float32" if blueprint else stored_dtype(source))
        refuse_too_large(self.base, request)
        self.request = request

    def first_part(self, dataset: PictureDataset, folder: Path) -> Generator[Event, None, AutoencoderRun | None]:
        """What must be trained before `prepare`, into the same folder; None where nothing must. Raises: UsageError, AigcError."""
        if not self.base.blueprint:
            return None
        return (yield from open_autoencoder_run(self.base.blueprint, dataset, folder / PIPELINE, self.request.seed, self.base.placement))

    def prepare(self, dataset: PictureDataset, folder: Path) -> Generator[Event, None, PreparedImageRun]:
        """Loads the pipeline and encodes the pictures into `folder`, or finds there what an earlier start made.

        Where `first_part` was not trained, all takes as long and as much as if it were, and is good for nothing else.
        Raises: UsageError for a pipeline that cannot be trained; ModelError, OutOfMemoryError, AigcError for a disk that is too small.
        """
        request, placement = self.request, self.base.placement
        pipeline = yield from self._open_pipeline(dataset, folder)
        family, noising = open_family(pipeline), noising_of(pipeline.scheduler, request.diffusion)
        resolution, cautions = settled_resolution(request.data.resolution, family.resolution, family.multiple)
        yield from cautions
        trainable = prepare(family, request.tuning, request.seed)
        data = yield from prepare_pictures(dataset, family, request, resolution, folder, placement.device)
        return PreparedImageRun(self.base, request, family, noising, trainable, data, self._plan(data), resolution)

    def _open_pipeline(self, dataset: PictureDataset, folder: Path) -> Generator[Event, None, Any]:
        if self.base.blueprint:
            made = yield from build_pipeline(self.base.blueprint, dataset, folder / PIPELINE, self.request.seed)
            return settled(made, self.base.placement.device)
        yield Progress(phase="loading the model", done=0, unit="")
        return load_base(self.base, is_adapter=self.request.tuning.is_adapter)

    def _plan(self, data: PreparedPictures) -> PicturePlan:
        pace = self.request.pace
        return PicturePlan(
            [data.fits[row].shape for row in data.training],
            per_step=pace.batch_size * pace.gradient_accumulation_steps,
            epochs=pace.epochs,
            max_steps=pace.max_steps,
            seed=self.request.seed,
        )

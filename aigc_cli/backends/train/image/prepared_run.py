"""A run whose pictures are encoded already: what it will take can be told, and training can begin."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from functools import cache, cached_property

from aigc_cli.backends.train.image.buckets import Shape
from aigc_cli.backends.train.image.family import Family, Noising
from aigc_cli.backends.train.image.footprint import Activations, Case, count_weights, measure_activations
from aigc_cli.backends.train.image.job import learned_picture
from aigc_cli.backends.train.image.learner import image_learner, resolved
from aigc_cli.backends.train.image.loaded_run import LoadedImageRun
from aigc_cli.backends.train.image.loading import Base
from aigc_cli.backends.train.image.objective import Denoise
from aigc_cli.backends.train.image.parts import can_checkpoint, drawing_pipeline, give_up, held_bytes
from aigc_cli.backends.train.image.plan import PicturePlan
from aigc_cli.backends.train.image.prepared_pictures import PreparedPictures
from aigc_cli.backends.train.image.samples import Artist, sample_requests
from aigc_cli.backends.train.misfit import NUMBER_BYTES, check_memory, memory_there
from aigc_cli.backends.train.trainable import Trainable
from aigc_cli.core.events import Event, Loaded
from aigc_cli.core.finetune_image import ImageFinetuneRequest
from aigc_cli.training.data_facts import PictureFacts
from aigc_cli.training.preflight import Preflight


@dataclass(frozen=True)
class PreparedImageRun:
    """family: of the pipeline, in place.  trainable: what of it will be trained.  resolution: side that pictures are brought to."""

    base: Base
    request: ImageFinetuneRequest
    family: Family
    noising: Noising
    trainable: Trainable
    data: PreparedPictures
    plan: PicturePlan
    resolution: int

    @property
    def training_pictures(self) -> int:
        """Pictures that the whole run will see, repeats counted."""
        return round(len(self.data.training) * self.plan.epoch(self.plan.steps))

    def preflight(self, facts: PictureFacts) -> Preflight:
        """What the run would take; its time is not known yet."""
        there, first = memory_there(self.base.placement.device), self.data.training[0]
        row, shape = self.data.rows[first], self.data.fits[first].shape
        return Preflight(
            model=self.base.source.name,
            method=self.request.tuning.method,
            mode="image",
            device=self.base.placement.device,
            dtype=self.base.placement.dtype,
            trained_parameters=self.trainable.trained,
            total_parameters=self.trainable.total,
            data=facts,
            sample=((row.captions[0], True),),
            sample_origin=str(row.origin),
            sample_size=shape.size,
            memory=self.case.parts,
            free=there,
            steps=self.plan.steps,
            seconds=None,
            advice=self.case.advice(there) if self.case.total > there else (),
        )

    def refuse_misfit(self) -> None:
        """Raises: OutOfMemoryError, with numbers and advice, for a run that cannot fit."""
        check_memory(self.case, memory_there(self.base.placement.device))

    def load(self) -> Generator[Event, None, LoadedImageRun]:
        """Makes all ready for the first step. Raises: UsageError, OutOfMemoryError."""
        started = time.perf_counter()
        source, placement, request = self.base.source, self.base.placement, resolved(self.request)
        learner = image_learner(self.family, self.noising, self.trainable, request, placement)
        captions = [self.data.rows[row].captions[0] for row in (self.data.kept_back or self.data.training)]
        artist = Artist(
            pipeline=drawing_pipeline(self.family, self.trainable),
            source=source,
            placement=placement,
            requests=sample_requests(request.proof, captions, self.resolution),
            trains_encoders=request.tuning.train_text_encoder,
        )
        yield from artist.encode_prompts()
        if not self._keeps_encoders and artist.is_encoded:
            for encoder in self.family.text_encoders:
                give_up(encoder)
        yield Loaded(
            model=source.name,
            revision=source.revision,
            device=placement.device,
            dtype=placement.dtype,
            seconds=time.perf_counter() - started,
            reason=placement.reason,
        )
        return LoadedImageRun(source, request, self.family, self.data, self.plan, learner, artist, self.base.stored_dtype)

    @property
    def _keeps_encoders(self) -> bool:
        """Where they are trained, or belong into a result that is nowhere else."""
        return self.request.tuning.train_text_encoder or bool(self.request.tuning.from_scratch)

    @cached_property
    def case(self) -> Case:
        """To be asked for before the weights change for training."""
        placement, largest = self.base.placement, max(self.plan.buckets, key=lambda shape: shape.width * shape.height)
        held = held_bytes(self.family, self.trainable, NUMBER_BYTES[placement.dtype], keeps_encoders=self._keeps_encoders)
        return Case(
            weights=count_weights(self.trainable.parameters, held),
            activations=cache(lambda checkpoints: self._activations(largest, checkpoints=checkpoints)),
            largest=largest,
            can_checkpoint=can_checkpoint(self.trainable),
            request=self.request,
            placement=placement,
        )

    def _activations(self, largest: Shape, *, checkpoints: bool) -> Activations:
        row = next(row for row in self.data.training if self.data.fits[row].shape == largest)
        picture = learned_picture(self.data.store, row, "", draw=0)
        objective = Denoise(self.family, self.noising, self.trainable, self.base.placement.device)
        scale, multiple = self.family.scale, self.family.multiple
        return measure_activations(objective, self.trainable, picture, scale, multiple, self.base.placement, checkpoints=checkpoints)

"""What learns from pictures."""

from __future__ import annotations

from dataclasses import replace

from aigc_cli.backends.device import Placement
from aigc_cli.backends.train.averaging import Average
from aigc_cli.backends.train.image.family import Family, Noising
from aigc_cli.backends.train.image.objective import Denoise
from aigc_cli.backends.train.image.parts import refuse_checkpointing, set_checkpointing
from aigc_cli.backends.train.learner import Learner, masters_of
from aigc_cli.backends.train.trainable import Trainable
from aigc_cli.core.finetune_image import ImageFinetuneRequest, default_image_learning_rate


def image_learner(
    family: Family, noising: Noising, trainable: Trainable, request: ImageFinetuneRequest, placement: Placement
) -> Learner[Denoise]:
    """request: with a learning rate, see `resolved`. Raises: UsageError for a network that knows no gradient checkpointing."""
    if request.optimization.gradient_checkpointing:
        refuse_checkpointing(trainable)
        set_checkpointing(trainable, True)
    masters = masters_of(trainable, placement)
    decay = request.diffusion.average
    average = None if decay is None else Average(masters, decay)
    return Learner(trainable, masters, Denoise(family, noising, trainable, placement.device), request, placement, average)


def resolved(request: ImageFinetuneRequest) -> ImageFinetuneRequest:
    """With the learning rate that counts where none was asked for."""
    if request.optimization.learning_rate is not None:
        return request
    rate = default_image_learning_rate(request.tuning.method, from_scratch=bool(request.tuning.from_scratch))
    return replace(request, optimization=replace(request.optimization, learning_rate=rate))

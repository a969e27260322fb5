"""A language model's learner."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aigc_cli.backends.device import Placement
from aigc_cli.backends.train.learner import Learner, masters_of
from aigc_cli.backends.train.text.collate import Padding
from aigc_cli.backends.train.text.loss import SupervisedLoss
from aigc_cli.backends.train.text.objective import NextTokens
from aigc_cli.backends.train.trainable import Trainable
from aigc_cli.core.finetune import FinetuneRequest, default_learning_rate


def text_learner(trainable: Trainable, request: FinetuneRequest, placement: Placement, padding: Padding) -> Learner[NextTokens]:
    """request: with a learning rate, see `resolved`.  padding: of batches."""
    if request.optimization.gradient_checkpointing:
        trainable.model.activation_checkpointing_enable({"use_reentrant": False})
    masters = masters_of(trainable, placement)
    objective = NextTokens(SupervisedLoss(trainable.model, request.optimization.label_smoothing), padding, placement.device)
    return Learner(trainable, masters, objective, request, placement)


def resolved(request: FinetuneRequest, model: Any) -> FinetuneRequest:
    """With the learning rate that counts where none was asked for."""
    if request.optimization.learning_rate is not None:
        return request
    width = model.config.get_text_config(decoder=True).hidden_size
    rate = default_learning_rate(request.tuning.method, width, from_scratch=bool(request.tuning.from_scratch))
    return replace(request, optimization=replace(request.optimization, learning_rate=rate))

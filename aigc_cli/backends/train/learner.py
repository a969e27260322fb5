"""A model with all that changes its weights: loss, optimizer, accelerator."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import GradientAccumulationPlugin

from aigc_cli.backends.device import Placement
from aigc_cli.backends.train.attention import fast_attention
from aigc_cli.backends.train.averaging import Average
from aigc_cli.backends.train.job import Request
from aigc_cli.backends.train.master_weights import MasterWeights
from aigc_cli.backends.train.objective import Objective
from aigc_cli.backends.train.optimizer import make_optimizer
from aigc_cli.backends.train.trainable import Trainable
from aigc_cli.backends.train.update import Updater

Goal = TypeVar("Goal", bound=Objective)


class Learner(Generic[Goal]):
    """The weights under training and their tools.

    request: with a learning rate.  placement: where, and the dtype that is computed in.  masters: see `masters_of`.
    average: of the weights over time, which then is what is measured and what comes of the run; None for the weights themselves.
    """

    def __init__(
        self,
        trainable: Trainable,
        masters: MasterWeights,
        objective: Goal,
        request: Request,
        placement: Placement,
        average: Average | None = None,
    ) -> None:
        self.trainable, self.masters, self.objective, self.placement, self.average = trainable, masters, objective, placement, average
        self.request = request
        self.accelerator = open_accelerator(placement, needs_autocast(trainable, placement))
        optimizer = make_optimizer(masters.weights, request.optimization)
        self.optimizer: Any = self.accelerator.prepare_optimizer(optimizer, device_placement=False)
        objective.module.train()
        self.updater = Updater(
            objective,
            masters,
            self.optimizer,
            self.accelerator,
            device=placement.device,
            attention=fast_attention(placement, recomputes=request.optimization.gradient_checkpointing),
            micro_batch=request.pace.batch_size,
            max_grad_norm=request.optimization.max_grad_norm,
        )


def masters_of(trainable: Trainable, placement: Placement) -> MasterWeights:
    """Brings each weight of the model into the dtype that it is to be computed with in, and keeps a wide copy of what is trained."""
    narrow = torch.bfloat16 if placement.dtype == "bfloat16" and not trainable.is_adapter else None
    masters = MasterWeights(trainable.parameters, narrow)
    frozen = frozen_dtype(trainable, placement)
    for parameter in trainable.model.parameters():
        if not parameter.requires_grad and parameter.is_floating_point():
            parameter.data = parameter.data.to(frozen)
    return masters


def frozen_dtype(trainable: Trainable, placement: Placement) -> torch.dtype:
    """Beside weights that are trained in float16, which are float32, frozen ones are too: results are made without autocast."""
    if placement.dtype == "float16" and not trainable.is_adapter:
        return torch.float32
    dtype: torch.dtype = getattr(torch, placement.dtype)
    return dtype


def needs_autocast(trainable: Trainable, placement: Placement) -> bool:
    """Whether float32 weights meet a narrower dtype: peft's own layers do, and all that is trained in float16."""
    if placement.dtype == "float32":
        return False
    return placement.dtype == "float16" or trainable.mixes_dtypes


def open_accelerator(placement: Placement, autocast: bool) -> Accelerator:
    """accelerate keeps one state for a process, and refuses a second run that computes in another dtype.

    Batches are added up here: were accelerate told of them, by a variable of its launcher, it would divide each loss once more.
    """
    AcceleratorState._reset_state(reset_partial_state=True)
    precision = {"bfloat16": "bf16", "float16": "fp16"}[placement.dtype] if autocast else "no"
    each_batch = GradientAccumulationPlugin(num_steps=1)
    return Accelerator(
        mixed_precision=precision, cpu=placement.device == "cpu", device_placement=False, gradient_accumulation_plugin=each_batch
    )

"""A model with all that changes its weights: loss, optimizer, accelerator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import GradientAccumulationPlugin

from aigc_cli.backends.device import Placement
from aigc_cli.backends.train.collate import Padding
from aigc_cli.backends.train.loss import SupervisedLoss
from aigc_cli.backends.train.master_weights import MasterWeights
from aigc_cli.backends.train.methods import Trainable
from aigc_cli.backends.train.optimizer import make_optimizer
from aigc_cli.backends.train.update import Updater
from aigc_cli.core.finetune import FinetuneRequest, default_learning_rate


class Learner:
    """The weights under training and their tools.

    placement: where, and the dtype that is computed in.  padding: of batches.
    """

    def __init__(self, trainable: Trainable, request: FinetuneRequest, placement: Placement, *, padding: Padding) -> None:
        model = trainable.model
        self.trainable, self.placement, self.padding = trainable, placement, padding
        self.request = resolved(request, model)
        optimization = self.request.optimization
        if optimization.gradient_checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
        narrow = torch.bfloat16 if placement.dtype == "bfloat16" and not trainable.peft else None
        self.masters = MasterWeights(trainable.parameters, narrow)
        frozen = frozen_dtype(trainable, placement)
        for parameter in model.parameters():
            if not parameter.requires_grad and parameter.is_floating_point():
                parameter.data = parameter.data.to(frozen)
        self.supervised = SupervisedLoss(model, optimization.label_smoothing).train()
        self.accelerator = open_accelerator(placement, needs_autocast(trainable, placement))
        optimizer = make_optimizer(self.masters.weights.values(), optimization)
        self.optimizer: Any = self.accelerator.prepare_optimizer(optimizer, device_placement=False)
        self.updater = Updater(
            self.supervised,
            self.masters,
            self.optimizer,
            self.accelerator,
            device=placement.device,
            padding=padding,
            micro_batch=request.pace.batch_size,
            max_grad_norm=optimization.max_grad_norm,
        )


def resolved(request: FinetuneRequest, model: Any) -> FinetuneRequest:
    """With the learning rate that counts where none was asked for."""
    if request.optimization.learning_rate is not None:
        return request
    width = model.config.get_text_config(decoder=True).hidden_size
    rate = default_learning_rate(request.tuning.method, width, from_scratch=bool(request.tuning.from_scratch))
    return replace(request, optimization=replace(request.optimization, learning_rate=rate))


def frozen_dtype(trainable: Trainable, placement: Placement) -> torch.dtype:
    """Beside weights that are trained in float16, which are float32, frozen ones are too: answers are given without autocast."""
    if placement.dtype == "float16" and not trainable.peft:
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

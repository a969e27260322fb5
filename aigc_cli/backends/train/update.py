"""One update of the weights: forward and backward over micro-batches, then the optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator

from aigc_cli.backends.torch_load import memory_errors
from aigc_cli.backends.train import random_states
from aigc_cli.backends.train.master_weights import MasterWeights
from aigc_cli.backends.train.objective import Objective
from aigc_cli.backends.train.optimizer import set_learning_rate
from aigc_cli.core.errors import AigcError, OutOfMemoryError


class NotFiniteError(AigcError):
    """A loss or a gradient that is no number any more; the weights are as they were before the step."""


class Abandoned(Exception):
    """The user wants to stop in the middle of a step; the weights and the random states are those before it."""


@dataclass(frozen=True)
class Update:
    """loss: mean over the step.  size: tokens or pictures of all rows.  grad_norm: before clipping."""

    loss: float
    grad_norm: float
    size: int


class Updater:
    """Everything an update needs, in place.

    accelerator: scales float16's loss.  attention: chooses its kernels, in the forward pass.  micro_batch: rows that run
    together; halved, for good, whenever memory does not suffice.
    """

    def __init__(
        self,
        objective: Objective,
        masters: MasterWeights,
        optimizer: torch.optim.Optimizer,
        accelerator: Accelerator,
        *,
        device: str,
        attention: AbstractContextManager[object],
        micro_batch: int,
        max_grad_norm: float,
    ) -> None:
        self.objective, self.masters, self.optimizer, self.accelerator = objective, masters, optimizer, accelerator
        self.device, self.attention = device, attention
        self.micro_batch, self.max_grad_norm = micro_batch, max_grad_norm

    def update(self, rows: Sequence[Any], learning_rate: float, should_stop: Callable[[], bool]) -> Update:
        """Learns from the rows of one step, all weighing the same, however they are cut into micro-batches.

        Raises: Abandoned, NotFiniteError; OutOfMemoryError when one row alone is too much. The step has then not been made.
        """
        before = random_states.capture(self.device)
        while True:
            try:
                loss = self._accumulate(rows, should_stop)
                break
            except OutOfMemoryError:
                self._undo(before)
                if self.micro_batch == 1:
                    raise
                self.micro_batch = math.ceil(min(self.micro_batch, len(rows)) / 2)
            except BaseException:
                self._undo(before)
                raise
        with memory_errors(self.device, self.objective.to_save_memory):  # the optimizer takes its memory in the first step
            norm = self._move(learning_rate)
        return Update(loss, norm, self.objective.size(rows))

    def _accumulate(self, rows: Sequence[Any], should_stop: Callable[[], bool]) -> float:
        """Adds up the gradients of all micro-batches. Returns: the mean loss."""
        weight = self.objective.weight(rows)
        total = 0.0
        for begin in range(0, len(rows), self.micro_batch):
            if should_stop():
                raise Abandoned
            with memory_errors(self.device, self.objective.to_save_memory):
                with self.accelerator.autocast(), self.attention:
                    loss = self.objective.loss(rows[begin : begin + self.micro_batch]) / weight
                self.accelerator.backward(loss)
                total += loss.item()
            if not math.isfinite(total):
                raise NotFiniteError(f"the loss is {total}", "")
        return total

    def _move(self, learning_rate: float) -> float:
        norm = self.accelerator.clip_grad_norm_(self.masters.weights.values(), self.max_grad_norm or math.inf)
        norm = float(norm)
        scaled = self.accelerator.scaler is not None  # float16: an overflow is skipped, and the scale comes down
        if not math.isfinite(norm) and not scaled:
            self.masters.zero_grad()
            raise NotFiniteError(f"the gradient's norm is {norm}", "")
        set_learning_rate(self.optimizer, learning_rate)
        self.optimizer.step()
        self.masters.zero_grad()
        self.masters.write_back()
        return norm

    def _undo(self, before: dict[str, object]) -> None:
        self.masters.zero_grad()
        random_states.restore(before, self.device)
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()

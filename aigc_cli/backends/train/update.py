"""One update of the weights: forward and backward over micro-batches, then the optimizer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator

from aigc_cli.backends.torch_load import memory_errors
from aigc_cli.backends.train import random_states
from aigc_cli.backends.train.collate import Padding, collate
from aigc_cli.backends.train.loss import SupervisedLoss
from aigc_cli.backends.train.master_weights import MasterWeights
from aigc_cli.backends.train.optimizer import set_learning_rate
from aigc_cli.backends.train.token_store import Row
from aigc_cli.core.errors import AigcError, OutOfMemoryError

TO_SAVE_MEMORY = "try --gradient-checkpointing, a shorter --max-length, --method lora or a smaller model"
PackedRow = Sequence[Row]  # what stands in one sequence: one sample, or several when packed


class NotFiniteError(AigcError):
    """A loss or a gradient that is no number any more; the weights are as they were before the step."""


class Abandoned(Exception):
    """The user wants to stop in the middle of a step; the weights and the random states are those before it."""


@dataclass(frozen=True)
class Update:
    """loss: nats per trained token, mean over the step.  tokens: of all rows.  grad_norm: before clipping."""

    loss: float
    grad_norm: float
    tokens: int


class Updater:
    """Everything an update needs, in place.

    accelerator: scales float16's loss.  micro_batch: rows that run together; halved, for
    good, whenever memory does not suffice.
    """

    def __init__(
        self,
        supervised: SupervisedLoss,
        masters: MasterWeights,
        optimizer: torch.optim.Optimizer,
        accelerator: Accelerator,
        *,
        device: str,
        padding: Padding,
        micro_batch: int,
        max_grad_norm: float,
    ) -> None:
        self.supervised, self.masters, self.optimizer, self.accelerator = supervised, masters, optimizer, accelerator
        self.device, self.padding, self.micro_batch, self.max_grad_norm = device, padding, micro_batch, max_grad_norm

    def update(self, rows: Sequence[PackedRow], learning_rate: float, should_stop: Callable[[], bool]) -> Update:
        """Learns from the rows of one step, each trained token weighing the same, however they are cut into micro-batches.

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
        with memory_errors(self.device, TO_SAVE_MEMORY):  # the optimizer takes its memory in the first step
            norm = self._move(learning_rate)
        return Update(loss, norm, sum(len(row.ids) for packed in rows for row in packed))

    def _accumulate(self, rows: Sequence[PackedRow], should_stop: Callable[[], bool]) -> float:
        """Adds up the gradients of all micro-batches. Returns: the mean loss."""
        trained = sum(int(row.trained[1:].sum()) for packed in rows for row in packed)
        total = 0.0
        for begin in range(0, len(rows), self.micro_batch):
            if should_stop():
                raise Abandoned
            with memory_errors(self.device, TO_SAVE_MEMORY):
                batch = collate(rows[begin : begin + self.micro_batch], self.padding, self.device)
                with self.accelerator.autocast():
                    loss = self.supervised(batch.inputs, batch.labels) / trained
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

"""The loss on rows that are not trained on, and each row's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy
import torch

from aigc_cli.backends.torch_load import memory_errors
from aigc_cli.backends.train.text.collate import Padding, collate
from aigc_cli.backends.train.text.loss import SupervisedLoss
from aigc_cli.backends.train.text.objective import TO_SAVE_MEMORY
from aigc_cli.backends.train.text.token_store import TokenStore
from aigc_cli.backends.train.update import Abandoned
from aigc_cli.core.errors import OutOfMemoryError
from aigc_cli.core.events import Progress


@dataclass(frozen=True)
class RowLosses:
    """indices: of rows in their store.  sums: of each row's losses, in nats.  counts: its trained tokens."""

    indices: numpy.ndarray
    sums: numpy.ndarray
    counts: numpy.ndarray

    @property
    def mean(self) -> float:
        """Nats per trained token, over all rows."""
        return float(self.sums.sum() / max(1, self.counts.sum()))

    @property
    def perplexity(self) -> float:
        return math.exp(min(self.mean, 700.0))  # beyond that a float overflows

    def hardest(self) -> Iterator[tuple[int, float]]:
        """All rows, that with the highest mean loss first: (index, nats per token)."""
        means = self.sums / numpy.maximum(1, self.counts)
        return ((int(self.indices[at]), float(means[at])) for at in numpy.argsort(-means, kind="stable"))


def row_losses(
    supervised: SupervisedLoss,
    store: TokenStore,
    indices: Sequence[int],
    *,
    phase: str,
    padding: Padding,
    device: str,
    micro_batch: int,
    autocast: Callable[[], AbstractContextManager[None]],
    should_stop: Callable[[], bool],
) -> Generator[Progress, None, RowLosses]:
    """Draws nothing at random and changes nothing; rows of like length run together.

    Raises: Abandoned, and OutOfMemoryError when one row alone is too much.
    """
    order = sorted(indices, key=lambda at: (-int(store.lengths[at]), at))
    found: dict[int, tuple[float, int]] = {}
    was_training = supervised.training
    supervised.eval()
    try:
        while len(found) < len(order):
            if should_stop():
                raise Abandoned
            part = order[len(found) : len(found) + micro_batch]
            try:
                with torch.inference_mode(), memory_errors(device, TO_SAVE_MEMORY), autocast():
                    batch = collate([[store.get(at)] for at in part], padding, device)
                    sums, counts = supervised.row_losses(batch.inputs, batch.labels)
            except OutOfMemoryError:
                if micro_batch == 1:
                    raise
                micro_batch = math.ceil(micro_batch / 2)
                continue
            found.update(zip(part, zip(sums.tolist(), counts.tolist(), strict=True), strict=True))
            yield Progress(phase=phase, done=len(found), total=len(order), unit="rows")
    finally:
        supervised.train(was_training)
    kept = sorted(found)
    return RowLosses(numpy.array(kept), numpy.array([found[at][0] for at in kept]), numpy.array([found[at][1] for at in kept]))

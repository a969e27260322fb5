"""Rows -> the tensors of one forward pass, several samples in a row where they are packed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import Tensor

from aigc_cli.backends.train.text.loss import IGNORED
from aigc_cli.backends.train.text.shapes import shared_length
from aigc_cli.backends.train.text.token_store import Row


@dataclass(frozen=True)
class Padding:
    """What stands at the ends of shorter rows, and how far they are filled up: not beyond the `longest` of the run."""

    token: int
    longest: int = 0

    def width(self, needed: int) -> int:
        return shared_length(needed, self.longest)


@dataclass(frozen=True)
class Batch:
    """input_ids, position_ids, labels: (B, T) int64.

    labels: the token after each position, IGNORED where it is not learnt or belongs to another sample.
    """

    input_ids: Tensor
    position_ids: Tensor
    labels: Tensor

    @property
    def inputs(self) -> dict[str, Tensor | None]:
        """What the model takes, besides `use_cache=False`.

        There is no attention mask. Rows are padded on the right, where a causal model does not look, so that they need none;
        and transformers keeps packed samples apart by positions that begin anew, which it heeds only where it is given
        neither a mask nor a cache.
        """
        return {"input_ids": self.input_ids, "position_ids": self.position_ids}


def collate(rows: Sequence[Sequence[Row]], padding: Padding, device: str) -> Batch:
    """rows: for each row its samples, one or, packed, several; positions begin at 0 in each of these.

    Padding counts on from the last sample, so that it does not look like one more.
    """
    width = padding.width(max(sum(len(sample.ids) for sample in samples) for samples in rows))
    input_ids = numpy.full((len(rows), width), padding.token, dtype=numpy.int64)
    position_ids = numpy.empty((len(rows), width), dtype=numpy.int64)
    labels = numpy.full((len(rows), width), IGNORED, dtype=numpy.int64)
    for row, samples in enumerate(rows):
        begin = 0
        for sample in samples:
            end = begin + len(sample.ids)
            input_ids[row, begin:end] = sample.ids
            position_ids[row, begin:] = numpy.arange(width - begin)
            labels[row, begin : end - 1] = numpy.where(sample.trained[1:], sample.ids[1:], IGNORED)
            begin = end
    return Batch(*(torch.from_numpy(array).to(device) for array in (input_ids, position_ids, labels)))


@torch.no_grad()
def can_pack(model: Any, pad_id: int) -> bool:
    """Whether samples in one row do not see one another, found out by trying.

    Recurrent models (Mamba, RWKV) carry their state over, and some kinds of attention keep samples apart in a batch of
    one only; so two rows that begin differently must give the sample they share the logits that it has alone.
    """
    padding = Padding(pad_id)
    vocab_size = model.get_input_embeddings().num_embeddings
    random = numpy.random.default_rng(0)
    first, second, shared = (sample_of(random.integers(vocab_size, size=12)) for _ in range(3))
    device = str(model.get_input_embeddings().weight.device)
    was_training = model.training
    model.eval()
    try:
        alone = model(**collate([[shared]], padding, device).inputs, use_cache=False).logits.float()
        packed = model(**collate([[first, shared], [second, shared]], padding, device).inputs, use_cache=False).logits
    finally:
        model.train(was_training)
    tolerance = torch.finfo(packed.dtype).eps ** 0.5
    differences = (packed[:, 12:].float() - alone).flatten(1).norm(dim=1)
    return bool((differences <= tolerance * (alone - alone.mean()).norm()).all())


def sample_of(ids: numpy.ndarray) -> Row:
    return Row(ids.astype(numpy.int32), numpy.ones(len(ids), dtype=bool))

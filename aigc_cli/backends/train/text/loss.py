"""Cross-entropy of the trained positions alone, without ever holding all their logits.

A language model's head is its widest matrix: with a vocabulary V and N trained positions, the logits take N x V numbers,
and a plain backward pass holds several copies. Here the head runs over a few rows at a time, and the gradient of each piece
is taken while its logits are there (the idea of Liger Kernel's fused linear cross entropy, arXiv:2410.10989).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from aigc_cli.backends.train.text.shapes import shared_length

CHUNK_NUMBERS = 2**24  # logits held at once: 64 MiB in float32
IGNORED = -100


def chunk_rows(vocab_size: int) -> int:
    """Positions whose logits are held at once."""
    return max(64, CHUNK_NUMBERS // vocab_size)


class LinearCrossEntropy(torch.autograd.Function):
    """Sum over positions of the cross-entropy of `softcap(hidden @ weight.T + bias) * scale`, in nats, float32.

    hidden (N, D), weight (V, D), bias (V) or None, labels (N). label_smoothing: share of the target spread evenly over V.
    The product is computed in hidden's dtype, everything after it in float32.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, head: Head, label_smoothing: float
    ) -> Tensor:
        computed = weight.to(hidden.dtype)
        rows, count = chunk_rows(weight.shape[0]), len(labels)
        if filling := shared_length(count % rows, rows) - count % rows:
            hidden = functional.pad(hidden, (0, 0, 0, filling))  # for the shape of the last piece
        grad_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        grad_bias = torch.zeros_like(bias, dtype=torch.float32) if bias is not None and ctx.needs_input_grad[2] else None
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for begin in range(0, count, rows):
            part = slice(begin, begin + rows)
            logits = functional.linear(hidden[part], computed, None if bias is None else bias.to(hidden.dtype)).float()  # (n, V)
            slope = head.finish_(logits)
            piece, grad = cross_entropy_(logits, labels[part], label_smoothing)
            loss += piece
            if slope is not None:
                grad *= slope
            narrow = grad.to(hidden.dtype)
            if grad_hidden is not None:
                torch.mm(narrow, computed, out=grad_hidden[part])
            if grad_weight is not None:
                grad_weight += narrow.T @ hidden[part]
            if grad_bias is not None:
                grad_bias += grad.sum(0)
        ctx.gradients = (None if grad_hidden is None else grad_hidden[:count], grad_weight, grad_bias)
        return loss

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, ()  # whoever gets them may keep them as they are, without a copy
        scaled = [None if gradient is None else gradient.mul_(grad_loss.to(gradient.dtype)) for gradient in gradients]
        return (*scaled, None, None, None)


def cross_entropy_(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """The sum over rows, and its gradient, which takes the place of the logits (n, V). Each exponential is taken once.

    Of the labels there may be fewer: rows beyond them only fill up.
    """
    vocab_size = logits.shape[1]
    every, logits = logits, logits[: len(labels)]
    index = torch.arange(len(labels), device=labels.device)
    peak = logits.amax(1)
    target = logits[index, labels]
    mean = logits.mean(1) if label_smoothing else target
    total = logits.sub_(peak[:, None]).exp_().sum(1)
    normalizer = total.log() + peak
    loss = (normalizer - (1 - label_smoothing) * target - label_smoothing * mean).sum()
    grad = logits.div_(total[:, None])
    grad[index, labels] -= 1 - label_smoothing
    if label_smoothing:
        grad -= label_smoothing / vocab_size
    every[len(labels) :] = 0
    return loss, every


class Head:
    """How a model turns the last hidden state into logits: a matrix, and what some families do after it.

    softcap: Gemma 2's `cap * tanh(logits / cap)`.  scale: Cohere's factor, Granite's divisor.
    """

    def __init__(self, model: Any) -> None:
        config = model.config.get_text_config(decoder=True)
        self.linear: nn.Module | None = model.get_output_embeddings()
        self.softcap: float | None = getattr(config, "final_logit_softcapping", None)
        self.scale = float(getattr(config, "logit_scale", None) or 1.0) / float(getattr(config, "logits_scaling", None) or 1.0)

    def finish_(self, logits: Tensor) -> Tensor | None:
        """Applies what comes after the matrix, in place. Returns: the derivative by the raw logits; None for 1."""
        slope = None
        if self.softcap:
            logits.div_(self.softcap).tanh_()
            slope = 1 - logits.square()
            logits.mul_(self.softcap)
        if self.scale != 1.0:
            logits.mul_(self.scale)
            slope = torch.full_like(logits[:1], self.scale) if slope is None else slope.mul_(self.scale)
        return slope


class SupervisedLoss(nn.Module):
    """A causal language model as a function from a batch to the summed loss of its trained positions.

    Whether the model's own logits are those of `Head` is found out once, by trying; where they are not, they are
    taken from the model, whole.
    """

    def __init__(self, model: Any, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.model = model
        self.label_smoothing = label_smoothing
        self.head = Head(model)
        self.knows_head = self._try_head()

    def forward(self, batch: dict[str, Tensor | None], labels: Tensor) -> Tensor:
        """labels (B, T): the token after each position, IGNORED where there is nothing to learn."""
        chosen = labels != IGNORED
        smoothing = self.label_smoothing if self.training else 0.0
        if not self.knows_head:
            logits = self.model(**batch, use_cache=False).logits[chosen].float()
            return functional.cross_entropy(logits, labels[chosen], reduction="sum", label_smoothing=smoothing)
        hidden = self.model.base_model(**batch, use_cache=False).last_hidden_state[chosen]  # (N, D)
        return self._head_loss(hidden, labels[chosen], smoothing)

    def row_losses(self, batch: dict[str, Tensor | None], labels: Tensor) -> tuple[Tensor, Tensor]:
        """For each row of the batch: the sum of its losses and the number of its trained positions, both (B)."""
        counts = (labels != IGNORED).sum(1)
        if self.knows_head:
            hidden = self.model.base_model(**batch, use_cache=False).last_hidden_state
            losses = [self._head_loss(h[row != IGNORED], row[row != IGNORED], 0.0) for h, row in zip(hidden, labels, strict=True)]
        else:
            logits = self.model(**batch, use_cache=False).logits.float()
            losses = [functional.cross_entropy(rows, row, reduction="sum") for rows, row in zip(logits, labels, strict=True)]
        return torch.stack(losses), counts

    def _head_loss(self, hidden: Tensor, labels: Tensor, smoothing: float) -> Tensor:
        linear: Any = self.head.linear
        weight, bias = linear.weight, getattr(linear, "bias", None)
        if not torch.is_grad_enabled():  # a Function takes the gradients that a parameter wants all the same
            weight, bias = weight.detach(), None if bias is None else bias.detach()
        if torch.is_autocast_enabled(hidden.device.type):
            hidden = hidden.to(torch.get_autocast_dtype(hidden.device.type))
        with torch.autocast(hidden.device.type, enabled=False):
            loss: Tensor = LinearCrossEntropy.apply(hidden, weight, bias, labels, self.head, smoothing)  # type: ignore[no-untyped-call]
        return loss

    @torch.no_grad()
    def _try_head(self) -> bool:
        """Whether the loss by way of `Head` is the loss of the model's own logits, on a few tokens."""
        if type(self.head.linear) is not nn.Linear or self.model.base_model is self.model:
            return False
        was_training = self.model.training
        self.model.eval()
        try:
            ids = torch.arange(1, 9, device=self.model.device)[None] % self.head.linear.weight.shape[0]
            labels = ids.flip(1).contiguous()
            own = functional.cross_entropy(self.model(input_ids=ids, use_cache=False).logits.float()[0], labels[0], reduction="sum")
            hidden = self.model.base_model(input_ids=ids, use_cache=False).last_hidden_state
            ours = self._head_loss(hidden[0], labels[0], 0.0)
        finally:
            self.model.train(was_training)
        return bool(torch.isclose(own, ours, rtol=2e-2 if self.model.dtype != torch.float32 else 1e-4))

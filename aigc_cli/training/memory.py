"""What training takes of a device's memory at its biggest moment, as arithmetic one can check by hand.

    peak = runtime + weights + optimizer + the larger of
             end of the forward pass:   activations + logits + gradients that are there already
             end of the backward pass:  all gradients
           + what the allocator holds but cannot use

Activations are what autograd keeps for the backward pass (Korthikanti et al., arXiv:2205.05198, count them alike for one
family). Here they follow from a few traits of the layers, so that one formula serves Llama, Qwen, Gemma, GPT-2, Phi and others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from aigc_cli.core.finetune import Optimizer

FLOAT32 = 4
RUNTIME = 496 * 2**20  # Python, torch, transformers and peft: 345 MiB, measured; the rest is kernels for the shapes of batches
LOGITS_AT_ONCE = 2**24  # numbers of the head's output that the loss holds
LOGIT_BYTES = 16  # for each: itself, its exponential, its gradient, and their copies in the dtype that is computed in
CPU_SLACK = 0.4  # of activations: holes that malloc keeps between what lives longer, measured with rows of changing lengths
CPU_CHECKPOINTING_SLACK = 3.0  # of the layers' inputs: all else that a layer makes goes at once, and leaves its hole, measured
GPU_SLACK = 0.05  # torch's caching allocator rounds up


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A decoder's layers, as far as they decide what is kept for the backward pass.

    intermediate: width of the MLP; with experts, of all that one token passes through.
    tied: the embedding is the head's matrix, too.
    mlp_tensors: tensors of that width that are kept: 4 of a gated MLP (gate, its activation, up, their product).
    norm_width: numbers that a layer's norms take in for each token.
    norm_copies: float32 copies that a norm keeps of them; 0 for one that keeps its input as it came.
    dropout_width: numbers of a layer that dropout goes over, which keeps what it drew for each.
    keeps_scores: attention keeps its length x length scores, as with dropout; else they are computed again.
    """

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool
    mlp_tensors: int
    norm_width: int
    norm_copies: int
    dropout_width: int = 0
    keeps_scores: bool = False


@dataclass(frozen=True, kw_only=True)
class SlowAdapters:
    """Adapters that work by peft's own operations, which keep more than ours: with DoRA, with dropout, beside 4-bit weights.

    inputs, outputs: widths of the matrices that they stand beside, summed; squares: of these inputs.
    """

    inputs: int
    outputs: int
    squares: int
    is_dora: bool
    has_dropout: bool


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Parameters of a model that is trained by some method; adapters among them.

    total: all.  trained: those that move.  is_adapter: whether these stand beside the model's own.
    quantized: frozen ones held in 4 bits.  factored: rows and columns of trained matrices, for Adafactor.
    inner: numbers in trained matrices that are neither embeddings nor the head, for Muon.
    head_is_trained: whether the matrix before the logits moves.
    """

    total: int
    trained: int
    is_adapter: bool
    head_is_trained: bool
    quantized: int = 0
    factored: int = 0
    inner: int = 0
    slow_adapters: SlowAdapters | None = None


class Moved(Protocol):
    """What the sizes of optimizers follow from, see Weights."""

    @property
    def trained(self) -> int: ...

    @property
    def inner(self) -> int: ...

    @property
    def factored(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What runs at once: rows x length tokens, padding counted.

    weight_bytes: for each number of the model as it is loaded.  compute_bytes: for each as it is computed with; where that is
    less, autocast holds a narrower copy of every weight.
    accumulates: gradients of several such batches add up.  is_masked: attention has a mask of its own, as with packing.
    """

    rows: int
    length: int
    weight_bytes: int
    compute_bytes: int
    optimizer: Optimizer = "adamw"
    gradient_checkpointing: bool = False
    accumulates: bool = False
    is_masked: bool = False
    is_cpu: bool = True

    @property
    def tokens(self) -> int:
        return self.rows * self.length


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Bytes by part, at the biggest moment. allocator: held, but of no use."""

    runtime: int
    weights: int
    adapters: int
    optimizer: int
    gradients: int
    activations: int
    logits: int
    allocator: int

    @property
    def parts(self) -> tuple[tuple[str, int], ...]:
        return tuple(vars(self).items())

    @property
    def total(self) -> int:
        return sum(vars(self).values())


def footprint(shape: Shape, weights: Weights, batch: Batch) -> Footprint:
    """The estimate. On a CPU it is of the process, on a GPU of the tensors there."""
    adapters = weights.trained if weights.is_adapter else 0
    own = weights.total - adapters - weights.quantized
    masters = 0 if weights.is_adapter or batch.weight_bytes == FLOAT32 else weights.trained  # float32 copies that the optimizer moves
    activations = activation_bytes(shape, weights, batch)
    gradients = FLOAT32 * weights.trained
    head_gradient = FLOAT32 * shape.vocab * shape.hidden if weights.head_is_trained else 0
    logits = logit_bytes(shape, batch)
    held = own * batch.weight_bytes + masters * FLOAT32 + weights.quantized * 9 // 16  # 4 bits, and a float32 scale for 64 of them
    cast = own * batch.compute_bytes if batch.compute_bytes < batch.weight_bytes else 0
    forward = Footprint(
        runtime=RUNTIME if batch.is_cpu else 0,
        weights=held + cast,
        adapters=adapters * FLOAT32,
        optimizer=optimizer_bytes(weights, batch.optimizer),
        gradients=head_gradient + (gradients if batch.accumulates else 0),
        activations=activations,
        logits=logits,
        allocator=slack_bytes(shape, batch, activations),
    )
    backward = replace(forward, gradients=gradients + head_gradient, activations=layer_bytes(shape, weights, batch), logits=0)
    return max(forward, backward, key=lambda moment: moment.total)


def optimizer_bytes(weights: Moved, optimizer: Optimizer) -> int:
    """AdamW keeps two float32 moments, SGD one, Muon one of inner matrices, Adafactor a number for each row and each column."""
    numbers = {
        "adamw": 2 * weights.trained,
        "muon": 2 * weights.trained - weights.inner,
        "sgd": weights.trained,
        "adafactor": weights.factored,
    }
    return FLOAT32 * numbers[optimizer]


def activation_bytes(shape: Shape, weights: Weights, batch: Batch) -> int:
    """What the forward pass keeps; with checkpointing each layer's input, and all of the one layer that is computed again."""
    layer = layer_bytes(shape, weights, batch)
    return checkpoint_bytes(shape, batch) + layer if batch.gradient_checkpointing else shape.layers * layer


def checkpoint_bytes(shape: Shape, batch: Batch) -> int:
    return shape.layers * batch.tokens * shape.hidden * batch.compute_bytes


def slack_bytes(shape: Shape, batch: Batch, activations: int) -> int:
    """What the allocator holds but cannot use."""
    if not batch.is_cpu:
        return int(GPU_SLACK * activations)
    if batch.gradient_checkpointing:
        return int(CPU_CHECKPOINTING_SLACK * checkpoint_bytes(shape, batch))
    return int(CPU_SLACK * activations)


def layer_bytes(shape: Shape, weights: Weights, batch: Batch) -> int:
    """What one layer keeps: inputs of norms and matrices, q, k, v and the attention's output, and the MLP's tensors."""
    query, key = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    if batch.is_masked:
        key = query  # they are repeated for each query head
    matrix_inputs = 2 * shape.hidden + query  # of q, k, v; of the MLP; of the output projection
    attention = 2 * query + 2 * key
    norms = 0 if weights.is_adapter and shape.norm_copies else shape.norm_width  # the normalised input, where the norm's weight moves
    kept = matrix_inputs + attention + shape.mlp_tensors * shape.intermediate + norms + shape.dropout_width
    per_token = kept * batch.compute_bytes + FLOAT32 * shape.norm_copies * shape.norm_width + FLOAT32 * shape.heads
    return batch.tokens * per_token + score_bytes(shape, batch) + slow_adapter_bytes(shape, weights, batch)


def slow_adapter_bytes(shape: Shape, weights: Weights, batch: Batch) -> int:
    """Of one layer, what peft's own operations keep besides.

    Each matrix its own copy of what several are given; dropout what it drew, in float32; DoRA two outputs of every matrix,
    and the unit matrices by which it multiplies B and A out.
    """
    slow = weights.slow_adapters
    if slow is None:
        return 0
    shared = 2 * shape.hidden + shape.heads * shape.head_dim + shape.intermediate
    copies = max(0, slow.inputs // shape.layers - shared) + (2 * slow.outputs // shape.layers if slow.is_dora else 0)
    drawn = slow.inputs // shape.layers if slow.has_dropout else 0
    units = slow.squares // shape.layers if slow.is_dora else 0
    return batch.tokens * (copies * batch.compute_bytes + drawn * FLOAT32) + units * batch.compute_bytes


def score_bytes(shape: Shape, batch: Batch) -> int:
    """Of one layer, what grows with the square of the length: a mask; scores, in float32, before and after softmax and dropout."""
    square = batch.rows * batch.length**2
    mask = square * batch.compute_bytes if batch.is_masked else 0
    return mask + (3 * FLOAT32 * shape.heads * square if shape.keeps_scores else 0)


def logit_bytes(shape: Shape, batch: Batch) -> int:
    """The loss holds the logits of a few positions at a time, never all, and the gradient of every last hidden state."""
    rows = min(batch.tokens, max(64, LOGITS_AT_ONCE // shape.vocab))
    return rows * shape.vocab * LOGIT_BYTES + 2 * batch.tokens * shape.hidden * batch.compute_bytes

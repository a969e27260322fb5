"""A config and a request -> how much memory training takes, and what to change where that is too much. No weights are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from peft.tuners.lora.layer import LoraLayer
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from aigc_cli.backends.device import Placement, choose
from aigc_cli.backends.train.lora_linear import is_plain
from aigc_cli.backends.train.misfit import NUMBER_BYTES, changes_to_fit, smaller_batches
from aigc_cli.backends.train.muon import is_inner_matrix
from aigc_cli.backends.train.text.methods import decoder_layers, prepare
from aigc_cli.core.finetune import FinetuneRequest, Tuning
from aigc_cli.training.memory import Batch, Footprint, Shape, SlowAdapters, Weights, footprint

GATED_MLP_TENSORS = 4
MLP_TENSORS = {"relu": 1, "gelu_new": 5, "gelu_fast": 5}  # transformers spells the latter out; others keep 2
SHORTEST_ROW = 128  # tokens that advice goes down to


@dataclass(frozen=True)
class Case:
    """A run whose memory is asked for. longest: tokens of its longest row."""

    config: Any
    shape: Shape
    weights: Weights
    request: FinetuneRequest
    placement: Placement
    longest: int

    def estimate(self) -> Footprint:
        return footprint(self.shape, self.weights, self.batch)

    @property
    def parts(self) -> tuple[tuple[str, int], ...]:
        return self.estimate().parts

    @property
    def total(self) -> int:
        return self.estimate().total

    def advice(self, there: int) -> tuple[str, ...]:
        changes = (checkpointed, with_smaller_batches, narrower, with_adapters, shorter)  # the cheapest first
        return changes_to_fit(self, there, changes, "choose a smaller model")

    @property
    def weight_dtype(self) -> str:
        """What is computed with: the dtype that was chosen; but what float16 trains stays float32, and autocast narrows it."""
        is_wide = self.placement.dtype == "float16" and not self.request.tuning.is_adapter
        return "float32" if is_wide else self.placement.dtype

    @property
    def batch(self) -> Batch:
        pace, optimization = self.request.pace, self.request.optimization
        autocast = self.placement.dtype == "float16"
        return Batch(
            rows=pace.batch_size,
            length=self.longest,
            weight_bytes=NUMBER_BYTES[self.weight_dtype],
            compute_bytes=NUMBER_BYTES[self.placement.dtype if autocast else self.weight_dtype],
            optimizer=optimization.optimizer,
            gradient_checkpointing=optimization.gradient_checkpointing,
            accumulates=pace.gradient_accumulation_steps > 1,
            is_masked=self.request.data.packing,
            is_cpu=self.placement.device == "cpu",
        )


def open_case(config: Any, request: FinetuneRequest, placement: Placement, *, longest: int) -> Case | None:
    """None for a family without attention: what a recurrence keeps follows other rules.

    Raises: UsageError where layers or target modules match nothing.
    """
    shape = read_shape(config)
    if shape is None:
        return None
    return Case(config, shape, count_weights(config, request.tuning), request, placement, longest)


def checkpointed(case: Case) -> Iterator[tuple[str, Case]]:
    optimization = case.request.optimization
    if not optimization.gradient_checkpointing:
        request = replace(case.request, optimization=replace(optimization, gradient_checkpointing=True))
        yield "--gradient-checkpointing", replace(case, request=request)


def with_smaller_batches(case: Case) -> Iterator[tuple[str, Case]]:
    for option, pace in smaller_batches(case.request.pace):
        yield option, replace(case, request=replace(case.request, pace=pace))


def narrower(case: Case) -> Iterator[tuple[str, Case]]:
    best = choose(case.placement.device, "auto")
    if case.placement.dtype == "float32" and best.dtype == "bfloat16":
        yield "--dtype bfloat16", replace(case, placement=best)


def with_adapters(case: Case) -> Iterator[tuple[str, Case]]:
    tuning = case.request.tuning
    if tuning.method == "full" and not tuning.from_scratch:
        lora = Tuning()
        request = replace(case.request, tuning=lora)
        yield "--method lora", replace(case, request=request, weights=count_weights(case.config, lora))


def shorter(case: Case) -> Iterator[tuple[str, Case]]:
    length = case.longest
    while length // 2 >= SHORTEST_ROW:
        length //= 2
        yield f"--max-length {length}", replace(case, longest=length)


def model_without_weights(config: Any) -> Any:
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)  # type: ignore[no-untyped-call]


def count_weights(config: Any, tuning: Tuning) -> Weights:
    """What `prepare` makes of the model, counted. Raises: UsageError where layers or target modules match nothing."""
    model = model_without_weights(config)
    head = model.get_output_embeddings()
    with torch.device("meta"):
        trainable = prepare(model, replace(tuning, continue_from=None), seed=0)
    trained = list(trainable.parameters.values())
    inner = [weight.numel() for name, weight in trainable.parameters.items() if is_inner_matrix(name, weight)]
    frozen = [layer.weight for layer in matrices(model) if layer is not head and not layer.weight.requires_grad]
    return Weights(
        total=trainable.total,
        trained=trainable.trained,
        is_adapter=tuning.is_adapter,
        head_is_trained=bool(head.weight.requires_grad),
        quantized=sum(weight.numel() for weight in frozen) if tuning.method == "qlora" else 0,
        factored=sum(sum(parameter.shape) if parameter.ndim > 1 else parameter.numel() for parameter in trained),
        inner=sum(inner),
        slow_adapters=slow_adapters(model, tuning),
    )


def slow_adapters(model: nn.Module, tuning: Tuning) -> SlowAdapters | None:
    layers: list[Any] = [layer for layer in model.modules() if isinstance(layer, LoraLayer)]
    slow = [layer for layer in layers if tuning.method == "qlora" or not is_plain(layer)]
    if not slow:
        return None
    return SlowAdapters(
        inputs=sum(layer.in_features for layer in slow),
        outputs=sum(layer.out_features for layer in slow),
        squares=sum(layer.in_features**2 for layer in slow),
        is_dora=tuning.method == "dora",
        has_dropout=tuning.lora_dropout > 0,
    )


def matrices(module: nn.Module) -> Iterator[Any]:
    return (layer for layer in module.modules() if isinstance(layer, nn.Linear | Conv1D))


def read_shape(config: Any) -> Shape | None:
    """The traits of the last layer, by which all are counted. None where it has no attention heads."""
    text = config.get_text_config(decoder=True)
    heads = getattr(text, "num_attention_heads", None)
    if not heads:
        return None
    model = model_without_weights(config)
    layers, embedding, head = decoder_layers(model), model.get_input_embeddings(), model.get_output_embeddings()
    kv_heads = getattr(text, "num_key_value_heads", None) or heads
    head_dim = getattr(text, "head_dim", None) or text.hidden_size // heads
    intermediate = mlp_width(text)
    norms = [(name, module) for name, module in layers[-1].named_modules() if "Norm" in type(module).__name__]
    per_head = {"q_": heads * head_dim, "k_": kv_heads * head_dim}  # q_norm and k_norm of Qwen 3 and others
    is_eager = model.config._attn_implementation == "eager"
    return Shape(
        layers=len(layers),
        hidden=text.hidden_size,
        intermediate=intermediate,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocab=head.weight.shape[0],
        tied=head.weight is embedding.weight,
        mlp_tensors=mlp_tensors(text, layers[-1], intermediate),
        norm_width=sum(per_head.get(name.rpartition(".")[2][:2], text.hidden_size) for name, _ in norms),
        norm_copies=0 if any(isinstance(module, nn.LayerNorm) for _, module in norms) else 1,
        dropout_width=2 * text.hidden_size if has_any(text, "resid_pdrop", "hidden_dropout", "dropout") else 0,
        keeps_scores=is_eager or has_any(text, "attn_pdrop", "attention_dropout"),
    )


def has_any(config: Any, *names: str) -> bool:
    return any(getattr(config, name, None) for name in names)


def mlp_width(config: Any) -> int:
    """Of the MLP that a token passes through: with experts, of all that it is given to and of the one that all share."""
    if experts := getattr(config, "num_experts_per_tok", None):
        width = getattr(config, "moe_intermediate_size", None) or config.intermediate_size
        return int(experts * width + (getattr(config, "shared_expert_intermediate_size", None) or 0))
    widths = (getattr(config, name, None) for name in ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size"))
    return next((int(width) for width in widths if width), 4 * int(config.hidden_size))


def mlp_tensors(config: Any, layer: nn.Module, width: int) -> int:
    """A gated MLP has two matrices from the hidden width to its own, or one of twice that; so have experts."""
    outputs = [matrix.weight.shape[1 if isinstance(matrix, Conv1D) else 0] for matrix in matrices(layer)]
    if outputs.count(width) >= 2 or 2 * width in outputs or width not in outputs:
        return GATED_MLP_TENSORS
    names = (getattr(config, name, None) for name in ("hidden_act", "activation_function", "hidden_activation"))
    return MLP_TENSORS.get(next((name for name in names if name), ""), 2)

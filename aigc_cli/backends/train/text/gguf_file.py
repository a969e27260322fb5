"""Writes a model of Llama's or Qwen's kind as a GGUF file that llama.cpp runs, tensor by tensor.

Names and permutations: convert_hf_to_gguf.py of llama.cpp; the format: github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFWriter, get_tensor_name_map
from gguf.constants import GGML_QUANT_SIZES, MODEL_ARCH, MODEL_ARCH_NAMES, GGMLQuantizationType, LlamaFileType, RopeScalingType
from gguf.quants import quantize
from torch import Tensor

from aigc_cli.backends.train.text.gguf_vocabulary import Vocabulary
from aigc_cli.core.errors import AigcError, UsageError
from aigc_cli.core.events import Caution, Event, Progress

ARCHITECTURES = {
    "LlamaForCausalLM": MODEL_ARCH.LLAMA,
    "MistralForCausalLM": MODEL_ARCH.LLAMA,
    "Qwen2ForCausalLM": MODEL_ARCH.QWEN2,
    "Qwen3ForCausalLM": MODEL_ARCH.QWEN3,
}
ROPE_TYPES = ("default", "linear", "yarn", "llama3")
F32, F16, BF16, Q8_0 = (GGMLQuantizationType[name] for name in ("F32", "F16", "BF16", "Q8_0"))


class GgufType(StrEnum):
    """The number format of matrices; vectors stay in float32."""

    F16 = "f16"
    BF16 = "bf16"
    Q8_0 = "q8_0"


TYPES = {GgufType.F16: F16, GgufType.BF16: BF16, GgufType.Q8_0: Q8_0}
FILE_TYPES = {F16: LlamaFileType.MOSTLY_F16, BF16: LlamaFileType.MOSTLY_BF16, Q8_0: LlamaFileType.MOSTLY_Q8_0}


@dataclass(frozen=True)
class GgufTensor:
    """A tensor to write. heads: how many heads' rows llama.cpp wants in its own order; 0 where it does not mind."""

    name: str
    data: Tensor
    type: GGMLQuantizationType
    heads: int = 0

    @property
    def nbytes(self) -> int:
        block, size = GGML_QUANT_SIZES[self.type]
        return self.data.numel() // block * size

    def array(self) -> np.ndarray[Any, Any]:
        """The bytes as they go into the file. Raises: AigcError for values that the type cannot hold."""
        data = self.data.detach().float()
        if self.heads:  # llama.cpp turns neighbours, transformers turns halves
            data = data.reshape(self.heads, 2, data.shape[0] // self.heads // 2, *data.shape[1:]).swapaxes(1, 2).reshape(data.shape)
        values = data.cpu().contiguous().numpy()
        if self.type in (F16, Q8_0) and np.abs(values).max(initial=0.0) > np.finfo(np.float16).max:
            raise AigcError(f"{self.name} has values that are too large for {self.type.name}", "use --gguf-type bf16")
        return quantize(values, self.type)


def check_architecture(model: Any) -> MODEL_ARCH:
    """Raises: UsageError for a model that is not of a kind that can be written."""
    name, config = type(model).__name__, model.config
    if name not in ARCHITECTURES:
        raise UsageError(f"{name} cannot be written as GGUF", f"there is: {', '.join(ARCHITECTURES)}; --to merged works with any")
    rope = config.rope_parameters
    odd = [
        f"hidden_act {config.hidden_act}" if config.hidden_act != "silu" else "",
        f"rope_type {rope['rope_type']}" if rope["rope_type"] not in ROPE_TYPES else "",
        "a rope attention_factor" if rope.get("attention_factor") else "",
        "a partial_rotary_factor" if rope.get("partial_rotary_factor", 1.0) != 1.0 else "",
        "attention_bias" if name == "Qwen3ForCausalLM" and config.attention_bias else "",
    ]
    if found := ", ".join(filter(None, odd)):
        raise UsageError(f"this {name} has {found}, which llama.cpp does not know", "--to merged works with any")
    return ARCHITECTURES[name]


def write_gguf(
    path: Path, model: Any, vocabulary: Vocabulary, kind: GgufType, *, name: str, ends: Sequence[int], tokenizer: Any
) -> Iterator[Event]:
    """Yields the progress in bytes, and cautions.

    name: the model's, for whoever lists it.  ends: tokens that end a text, the tokenizer's own first.
    Raises: UsageError, AigcError, OSError.
    """
    architecture = check_architecture(model)
    writer = GGUFWriter(path, MODEL_ARCH_NAMES[architecture])
    add_model(writer, model, TYPES[kind], name)
    add_vocabulary(writer, vocabulary, tokenizer, ends)
    tensors = list(tensors_of(model, architecture, TYPES[kind]))
    for tensor in tensors:
        writer.add_tensor_info(tensor.name, tensor.data.shape, np.dtype(np.float32), tensor.nbytes, raw_dtype=tensor.type)
    yield from cautions(model.config, vocabulary, tensors, TYPES[kind])
    total, done = sum(tensor.nbytes for tensor in tensors), 0
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in tensors:
            writer.write_tensor_data(tensor.array())
            done += tensor.nbytes
            yield Progress(phase="writing", done=done, total=total)
    finally:
        writer.close()


def gguf_size(model: Any, kind: GgufType) -> int:
    """Bytes of all tensors together."""
    return sum(tensor.nbytes for tensor in tensors_of(model, check_architecture(model), TYPES[kind]))


def add_model(writer: GGUFWriter, model: Any, kind: GGMLQuantizationType, name: str) -> None:
    config = model.config
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_type("model")
    writer.add_name(name)
    writer.add_file_type(FILE_TYPES[kind])
    writer.add_quantization_version(2)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(model.get_input_embeddings().weight.shape[0])
    add_rope(writer, config.rope_parameters)


def add_rope(writer: GGUFWriter, rope: dict[str, Any]) -> None:
    writer.add_rope_freq_base(rope["rope_theta"])
    if rope["rope_type"] not in ("linear", "yarn"):  # those of Llama 3 are a tensor
        return
    writer.add_rope_scaling_type(RopeScalingType(rope["rope_type"]))
    writer.add_rope_scaling_factor(rope["factor"])
    if rope["rope_type"] == "yarn":
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        writer.add_rope_scaling_yarn_beta_fast(rope.get("beta_fast") or 32.0)
        writer.add_rope_scaling_yarn_beta_slow(rope.get("beta_slow") or 1.0)


def add_vocabulary(writer: GGUFWriter, vocabulary: Vocabulary, tokenizer: Any, ends: Sequence[int]) -> None:
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    if vocabulary.merges:
        writer.add_token_merges(vocabulary.merges)
    if vocabulary.scores:
        writer.add_token_scores(vocabulary.scores)
    if vocabulary.add_space_prefix is not None:
        writer.add_add_space_prefix(vocabulary.add_space_prefix)
    writer.add_add_bos_token(vocabulary.add_bos)
    writer.add_add_eos_token(vocabulary.add_eos)
    eos, end_of_turn, *_ = (*ends, None, None)
    added = (
        (writer.add_bos_token_id, tokenizer.bos_token_id),
        (writer.add_eos_token_id, eos),
        (writer.add_eot_token_id, end_of_turn),
        (writer.add_unk_token_id, tokenizer.unk_token_id),
        (writer.add_pad_token_id, tokenizer.pad_token_id),
    )
    for add, token in added:
        if token is not None:
            add(token)
    if tokenizer.chat_template:
        template = tokenizer.chat_template
        named = [{"name": name, "template": text} for name, text in template.items()] if isinstance(template, dict) else None
        writer.add_chat_template(named or template)


def tensors_of(model: Any, architecture: MODEL_ARCH, kind: GGMLQuantizationType) -> Iterator[GgufTensor]:
    """All tensors under llama.cpp's names; a head that shares the embedding's weight is left out, as it is there."""
    config = model.config
    names = get_tensor_name_map(architecture, config.num_hidden_layers)
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads} if architecture == MODEL_ARCH.LLAMA else {}
    for own_name, parameter in model.named_parameters():
        name = names.get_name(own_name, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise UsageError(f"GGUF has no name for the tensor {own_name}", "--to merged works with any model")
        part = name.split(".")[2] if name.startswith("blk.") else ""
        yield GgufTensor(name, parameter, type_for(parameter, kind), heads.get(part, 0))
    if config.rope_parameters["rope_type"] == "llama3":
        yield GgufTensor("rope_freqs.weight", rope_factors(model), F32)


def type_for(data: Tensor, kind: GGMLQuantizationType) -> GGMLQuantizationType:
    """As llama.cpp has it: vectors in float32, and rows that are not whole blocks in float16."""
    if data.ndim == 1:
        return F32
    return F16 if data.shape[-1] % GGML_QUANT_SIZES[kind][0] else kind


def rope_factors(model: Any) -> Tensor:
    """By what Llama 3 divides each frequency."""
    actual: Tensor = model.model.rotary_emb.inv_freq.float().cpu()
    exponents = torch.arange(len(actual), dtype=torch.float32) / len(actual)
    plain: Tensor = model.config.rope_parameters["rope_theta"] ** -exponents
    return plain / actual


def cautions(config: Any, vocabulary: Vocabulary, tensors: Sequence[GgufTensor], kind: GGMLQuantizationType) -> Iterator[Event]:
    for message in vocabulary.cautions:
        yield Caution(message=message)
    if odd := [tensor for tensor in tensors if tensor.type not in (kind, F32)]:
        example = f"{odd[0].name} {tuple(odd[0].data.shape)}"
        yield Caution(message=f"{len(odd)} tensors stay in float16, for their rows are not multiples of 32: {example} among them")
    window = getattr(config, "sliding_window", None)
    if window and getattr(config, "use_sliding_window", True) and window < config.max_position_embeddings:
        yield Caution(message=f"llama.cpp does not keep to this model's sliding window of {window} tokens: longer texts will differ")

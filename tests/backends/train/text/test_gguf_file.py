"""GGUF files, read back through transformers: another program's reading of the same format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGUFReader
from transformers import AutoConfig, AutoModelForCausalLM

from aigc_cli.backends.device import Placement
from aigc_cli.backends.torch_load import LoadedModel, load
from aigc_cli.backends.train.text.export import load_merged, write_gguf_file
from aigc_cli.backends.train.text.gguf_file import GgufType
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import AigcError, UsageError
from aigc_cli.core.events import Caution, Progress
from tests.backends.tiny_adapters import build_adapter, peft_logits
from tests.backends.tiny_models import build_model

IDS = torch.arange(3, 60)[None]
WHOLE_BLOCKS = {"hidden_size": 64, "intermediate_size": 128}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama tied": {"tie_word_embeddings": True},
    "llama wide heads": {"head_dim": 32, "attention_bias": True},
    "mistral": {},
    "qwen2": {},
    "qwen2 tied": {"tie_word_embeddings": True},
    "qwen3": {"head_dim": 128},  # transformers does not read it from the file, and takes this
}


def write(base: Path, path: Path, kind: str = "f16", *adapters: tuple[Path, float]) -> tuple[LoadedModel, list[str]]:
    """What was loaded, and the cautions."""
    parts = load_merged(ModelSource("tiny", "folder", base), adapters)
    events = list(write_gguf_file(parts, path, GgufType(kind), "tiny"))
    progress = [event for event in events if isinstance(event, Progress)]
    assert progress[-1].done == progress[-1].total
    assert path.stat().st_size > progress[-1].done
    return parts, [event.message for event in events if isinstance(event, Caution)]


def read(path: Path) -> LoadedModel:
    return load(ModelSource("tiny", "gguf", path), Placement("cpu", "float32", ""))


def logits(model: Any, ids: torch.Tensor = IDS) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = (model if model.dtype == torch.float32 else model.float()).eval()(ids).logits
    return result


def to_half(base: Path) -> Path:
    """Rounds the weights, so that a file in float16 holds them exactly."""
    AutoModelForCausalLM.from_pretrained(base, dtype=torch.float16).save_pretrained(base)
    return base


@pytest.mark.parametrize("case", ARCHITECTURES)
def test_float16_holds_the_model_exactly(tmp_path: Path, case: str) -> None:
    base = to_half(build_model(tmp_path / "base", case.split()[0], **ARCHITECTURES[case]))
    parts, cautions = write(base, tmp_path / "out.gguf")
    back = read(tmp_path / "out.gguf")
    torch.testing.assert_close(logits(back.model), logits(parts.model), atol=1e-5, rtol=0)
    assert [message for message in cautions if "NFC" not in message] == []  # transformers gives every Qwen its own tokenizer
    assert back.end_ids == parts.end_ids
    assert back.tokenizer.chat_template == parts.tokenizer.chat_template
    for text in ("Once upon a time 123", "你好，世界 👩‍💻<|im_end|>\n\n x", ""):
        assert back.tokenizer(text).input_ids == parts.tokenizer(text).input_ids


@pytest.mark.parametrize(("kind", "tolerance"), [("bf16", 0.01), ("q8_0", 0.04)])
def test_other_types_come_close(tmp_path: Path, kind: str, tolerance: float) -> None:
    base = build_model(tmp_path / "base", "llama", initializer_range=0.1, **WHOLE_BLOCKS)
    parts, _ = write(base, tmp_path / "out.gguf", kind)
    wanted = logits(parts.model)
    difference = (logits(read(tmp_path / "out.gguf").model) - wanted).std() / wanted.std()
    assert 0 < difference < tolerance
    types = {tensor.name: tensor.tensor_type.name for tensor in GGUFReader(tmp_path / "out.gguf").tensors}
    assert types["blk.0.attn_norm.weight"] == "F32"
    assert types["token_embd.weight"] == types["blk.1.ffn_down.weight"] == kind.upper()


def test_rows_that_are_no_whole_blocks_stay_in_float16_and_that_is_said(tmp_path: Path) -> None:
    base = build_model(tmp_path / "base", "llama", hidden_size=64, intermediate_size=72)
    _, cautions = write(base, tmp_path / "out.gguf", "q8_0")
    assert cautions == ["2 tensors stay in float16, for their rows are not multiples of 32: blk.0.ffn_down.weight (64, 72) among them"]
    types = {tensor.name: tensor.tensor_type.name for tensor in GGUFReader(tmp_path / "out.gguf").tensors}
    assert types["blk.0.ffn_down.weight"] == "F16"
    assert types["blk.0.ffn_up.weight"] == "Q8_0"


def test_an_adapter_is_in_the_file(tmp_path: Path) -> None:
    base = build_model(tmp_path / "base", "qwen2")
    adapter = build_adapter(tmp_path / "adapter", base)
    write(base, tmp_path / "out.gguf", "f16", (adapter, 1.0))
    torch.testing.assert_close(logits(read(tmp_path / "out.gguf").model), peft_logits(base, adapter, IDS), atol=0.03, rtol=0)


def test_ropes_that_are_stretched(tmp_path: Path) -> None:
    llama3 = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    base = build_model(tmp_path / "llama3", "llama", rope_parameters={**llama3, "original_max_position_embeddings": 64})
    parts, _ = write(base, tmp_path / "llama3.gguf")
    (factors,) = [tensor.data for tensor in GGUFReader(tmp_path / "llama3.gguf").tensors if tensor.name == "rope_freqs.weight"]
    plain = 500000.0 ** -(torch.arange(0, 8, 2) / 8)
    torch.testing.assert_close(plain / torch.tensor(factors), parts.model.model.rotary_emb.inv_freq)

    yarn = {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0, "original_max_position_embeddings": 64}
    write(build_model(tmp_path / "yarn", "qwen2", rope_parameters=yarn), tmp_path / "yarn.gguf")
    fields = GGUFReader(tmp_path / "yarn.gguf").fields
    assert fields["qwen2.rope.scaling.type"].contents() == "yarn"
    assert fields["qwen2.rope.scaling.factor"].contents() == 4.0
    assert fields["qwen2.rope.scaling.original_context_length"].contents() == 64


@pytest.mark.parametrize(
    ("architecture", "config", "words"),
    [
        ("gpt2", {}, "GPT2LMHeadModel cannot be written as GGUF"),
        ("gemma", {}, "GemmaForCausalLM cannot be written as GGUF"),
        ("llama", {"hidden_act": "gelu"}, "has hidden_act gelu, which llama.cpp does not know"),
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}}, "rope_type dynamic"),
        ("qwen3", {"attention_bias": True}, "has attention_bias"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path: Path, architecture: str, config: dict[str, Any], words: str) -> None:
    base = build_model(tmp_path / "base", architecture, **config)
    with pytest.raises(UsageError) as caught:
        write(base, tmp_path / "out.gguf")
    assert words in caught.value.message
    assert not (tmp_path / "out.gguf").exists()


def test_values_beyond_float16_are_refused(tmp_path: Path) -> None:
    base = build_model(tmp_path / "base", "llama")
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model.lm_head.weight.data[0, 0] = 1e6
    model.save_pretrained(base)
    with pytest.raises(AigcError, match=r"output\.weight has values that are too large for F16"):
        write(base, tmp_path / "out.gguf")
    write(base, tmp_path / "out.gguf", "bf16")


def test_a_sliding_window_is_said_to_be_ignored(tmp_path: Path) -> None:
    base = build_model(tmp_path / "base", "mistral", sliding_window=16)
    assert AutoConfig.from_pretrained(base).sliding_window == 16
    assert "sliding window of 16 tokens" in write(base, tmp_path / "out.gguf")[1][0]

"""What is read from configs and headers, and what follows from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aigc_cli.models.facts import Facts, config_facts, model_facts
from aigc_cli.models.fit import RUNTIME, Memory, fit, fits
from tests.model_files import gguf_bytes, model_files, write_files


@pytest.mark.parametrize("name", ["stories260K-hf", "gguf/stories260K-f32.gguf", "gguf/stories260K-q8_0.gguf"])
def test_one_model_in_three_formats_has_the_same_facts(data: Path, name: str) -> None:
    facts = model_facts(data / "models" / name)
    assert (facts.parameters, facts.context_length) == (260032, 512)
    assert facts.kv_numbers == 2 * 5 * 4 * 8  # keys and values, 5 layers, 4 KV heads of 8


def test_a_folder_says_its_dtype_and_size(tmp_path: Path) -> None:
    folder = write_files(tmp_path, model_files(1000))
    facts = model_facts(folder)
    assert (facts.dtype, facts.architecture, facts.has_chat_template) == ("float32", "LlamaForCausalLM", False)
    assert facts.size == (folder / "model.safetensors").stat().st_size
    write_files(folder, {"tokenizer_config.json": b'{"chat_template": "{{ messages }}"}'})
    assert model_facts(folder).has_chat_template


# configs as far as they matter here; the numbers are counted by hand
GPT2 = {"n_layer": 12, "n_head": 12, "n_embd": 768, "n_positions": 1024}
QWEN3 = {"num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "hidden_size": 1024}
T5 = {"num_layers": 6, "num_heads": 8, "d_kv": 64, "d_model": 512}


@pytest.mark.parametrize(
    ("config", "kv_numbers"),
    [
        (GPT2, 2 * 12 * 768),
        (QWEN3, 2 * 28 * 8 * 128),
        (T5, 2 * 6 * 8 * 64),
        ({"text_config": QWEN3, "hidden_size": 1}, 2 * 28 * 8 * 128),
        ({"hidden_size": 768}, None),
        ({**GPT2, "n_layer": "many"}, None),
    ],
)
def test_the_kv_cache_of_known_families(config: dict[str, Any], kv_numbers: int | None) -> None:
    assert config_facts(config).kv_numbers == kv_numbers


def test_gguf_heads_may_differ_by_layer(tmp_path: Path) -> None:
    metadata: dict[str, str | int] = {
        "general.architecture": "llama",
        "llama.block_count": 2,
        "llama.attention.head_count": 8,
        "llama.embedding_length": 64,
        "llama.attention.key_length": 16,
        "llama.attention.value_length": 8,
    }
    path = tmp_path / "x.gguf"
    path.write_bytes(gguf_bytes(metadata, 10))
    assert model_facts(path).kv_numbers == 2 * 8 * (16 + 8)


MIB = 2**20
FACTS = Facts(context_length=4096, kv_numbers=1000)


def test_what_fits_in_16_bits_only() -> None:
    memory = Memory("cpu", RUNTIME + 300 * MIB, ("bfloat16", "float32"))
    half, full = fits(100 * MIB, FACTS, [memory])
    assert (half.fits, half.weights, half.kv_cache) == (True, 200 * MIB, 2000 * 1024)
    assert (full.fits, full.weights) == (False, 400 * MIB)


def test_the_context_is_what_there_is_room_for() -> None:
    assert fit(100, FACTS, Memory("cpu", 100 * RUNTIME, ("float32",)), "float32").context == 4096
    room = RUNTIME + 400 + 2000 * 4000
    assert fit(100, FACTS, Memory("cpu", room, ("float32",)), "float32").context == 2000
    short = fit(100, FACTS, Memory("cpu", RUNTIME + 400 + 500 * 4000, ("float32",)), "float32")
    assert (short.context, short.fits) == (500, False)


def test_without_a_known_kv_cache_only_the_weights_count() -> None:
    result = fit(100, Facts(), Memory("cpu", 2 * RUNTIME, ("float32",)), "float32")
    assert (result.fits, result.context, result.kv_cache) == (True, None, None)

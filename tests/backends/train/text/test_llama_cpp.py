"""GGUF files, run by llama.cpp itself (package llama-cpp-python): same tokens, same text, nearly the same perplexity."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aigc_cli.backends.torch_load import LoadedModel
from aigc_cli.backends.train.text.export import load_merged, write_gguf_file
from aigc_cli.backends.train.text.gguf_file import GgufType
from aigc_cli.core.engine import ModelSource
from tests.backends.tiny_adapters import build_adapter
from tests.backends.tiny_models import build_model

llama_cpp = pytest.importorskip("llama_cpp")
pytestmark = pytest.mark.slow

BUILT_IN = Path(__file__).parents[4] / "aigc_cli" / "builtin" / "text"
STORY = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big dog. "
    "The dog was sad because it had no ball. Lily gave the dog her red ball, and they played until the sun went down."
)
CHINESE = "你好，世界。今天天气很好，我们去公园散步。"
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}
TINY: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama, biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama, tied, wide heads": ("llama", {"tie_word_embeddings": True, "head_dim": 32}),
    "llama 3's rope": ("llama", {"rope_parameters": LLAMA3}),
    "linear rope": ("llama", {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}}),
    "mistral": ("mistral", {}),
    "qwen2": ("qwen2", {}),
    "qwen2, yarn": ("qwen2", {"rope_parameters": YARN}),
    "qwen3": ("qwen3", {"head_dim": 32}),
}
TRAINED = ["built-in", "stories", "stories + adapter"]


@pytest.fixture(params=[*TRAINED, *TINY])
def parts(request: pytest.FixtureRequest, tmp_path: Path) -> LoadedModel:
    adapters = []
    if request.param == "built-in":
        base = BUILT_IN
    elif request.param.startswith("stories"):
        base = request.getfixturevalue("data") / "models" / "stories260K-hf"
        if "adapter" in request.param:
            adapters = [(build_adapter(tmp_path / "adapter", base, strength=0.02), 1.0)]
    else:
        architecture, config = TINY[request.param]
        sizes = {"hidden_size": 64, "intermediate_size": 128, "initializer_range": 0.1}
        base = build_model(tmp_path / "base", architecture, **{**sizes, **config})
    loaded = load_merged(ModelSource("model", "folder", base), adapters, "float32")
    loaded.model.float()
    for name, parameter in loaded.model.named_parameters():
        if name.endswith("bias"):  # they begin as zeros
            torch.nn.init.normal_(parameter, std=0.1)
    return loaded


def opened(parts: LoadedModel, path: Path, kind: str) -> Any:
    for _ in write_gguf_file(parts, path, GgufType(kind), "model"):
        pass
    return llama_cpp.Llama(str(path), n_ctx=256, n_threads=1, logits_all=True, verbose=False)


def log_probabilities(logits: torch.Tensor) -> torch.Tensor:
    return logits.float().log_softmax(-1)


def perplexity(log_probabilities: torch.Tensor, ids: list[int]) -> float:
    return math.exp(-sum(log_probabilities[at, token].item() for at, token in enumerate(ids[1:])) / (len(ids) - 1))


def by_transformers(parts: LoadedModel, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return log_probabilities(parts.model(torch.tensor([ids])).logits[0])


def by_llama_cpp(llama: Any, ids: list[int]) -> torch.Tensor:
    llama.reset()
    llama.eval(ids)
    return log_probabilities(torch.tensor(np.array(llama.scores[: len(ids)])))


def greedy(llama: Any, ids: list[int], count: int) -> Iterator[int]:
    llama.reset()
    tokens = llama.generate(ids, temp=0.0, repeat_penalty=1.0)
    return (token for token, _ in zip(tokens, range(count), strict=False))


def test_float16_computes_the_same(parts: LoadedModel, tmp_path: Path) -> None:
    llama = opened(parts, tmp_path / "model.gguf", "f16")
    for text in (STORY, CHINESE):
        ids = parts.tokenizer(text).input_ids
        assert llama.tokenize(text.encode(), add_bos=True, special=True) == ids
        torch.testing.assert_close(by_llama_cpp(llama, ids[:200]), by_transformers(parts, ids[:200]), atol=0.1, rtol=0)


@pytest.mark.parametrize("parts", TRAINED, indirect=True)
def test_float16_writes_the_same_text(parts: LoadedModel, tmp_path: Path) -> None:
    llama = opened(parts, tmp_path / "model.gguf", "f16")
    prompt = parts.tokenizer("Once upon a time, there was a little").input_ids
    config = {"max_new_tokens": 40, "do_sample": False, "repetition_penalty": 1.0, "eos_token_id": None}
    wanted = parts.model.generate(torch.tensor([prompt]), **config)[0].tolist()[len(prompt) :]
    assert list(greedy(llama, prompt, 40)) == wanted


@pytest.mark.parametrize("kind", ["bf16", "q8_0"])
def test_perplexity_is_within_one_percent(parts: LoadedModel, tmp_path: Path, kind: str) -> None:
    llama = opened(parts, tmp_path / "model.gguf", kind)
    ids = parts.tokenizer(STORY).input_ids[:200]
    assert perplexity(by_llama_cpp(llama, ids), ids) == pytest.approx(perplexity(by_transformers(parts, ids), ids), rel=0.01)


@pytest.mark.parametrize("name", ["models/stories260K-hf", "tokenizers/qwen3", "built-in"])
def test_every_text_becomes_the_same_tokens(data: Path, tmp_path: Path, name: str) -> None:
    """The texts are llama.cpp's own, made for its tokenizers."""
    folder = BUILT_IN if name == "built-in" else data / name
    if name == "tokenizers/qwen3":
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(folder)
        folder = build_model(tmp_path / "base", "qwen3", vocab_size=len(tokenizer), head_dim=32)
        (folder / "tokenizer.json").unlink()
        tokenizer.save_pretrained(folder)
    parts = load_merged(ModelSource("model", "folder", folder), [])
    llama = opened(parts, tmp_path / "model.gguf", "f16")
    texts = (data / "models" / "gguf" / "ggml-vocab-gpt-2.gguf.inp").read_text("utf-8").split("\n__ggml_vocab_test__\n")
    texts += [CHINESE, "<|im_start|>user\nfox's 12345 ½ don't<|im_end|>\n\n\n x", "👩‍💻 👨‍👩‍👧 Ünïcödé"]
    for text in texts:
        assert llama.tokenize(text.encode(), add_bos=True, special=True) == parts.tokenizer(text).input_ids, text


def test_a_chat_ends_where_the_model_ends_its_turns(tmp_path: Path) -> None:
    parts = load_merged(ModelSource("model", "folder", BUILT_IN), [])
    llama = opened(parts, tmp_path / "model.gguf", "f16")
    assert llama.metadata["tokenizer.chat_template"] == parts.tokenizer.chat_template
    reply = llama.create_chat_completion([{"role": "user", "content": "Tell me a story about a cat."}], temperature=0.0, max_tokens=200)
    assert "<|" not in reply["choices"][0]["message"]["content"]

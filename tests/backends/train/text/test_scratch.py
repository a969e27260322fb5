"""A model from nothing but a config file: what is wrong with one is said, and the same seed draws the same weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from aigc_cli.backends.train.text.scratch import build_model, read_blueprint
from aigc_cli.core.errors import UsageError
from tests.backends.tiny_models import build_tokenizer

LLAMA = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


def write(path: Path, config: Any) -> Path:
    file = path / "配置.json"
    file.write_text(config if isinstance(config, str) else json.dumps(config), "utf-8")
    return file


@pytest.mark.parametrize(
    ("config", "message", "hint"),
    [
        ("{", r"配置\.json:1: not JSON", "config.json"),
        ("[]", "holds no JSON object", "model_type"),
        ({}, "has no model_type", "llama"),
        ({"model_type": "lama"}, "'lama' is unknown", "llama"),
        ({"model_type": "clip"}, "'clip' is no causal language model", "llama"),
        ({"model_type": "bart"}, "bart is an encoder-decoder", "llama"),
        ({"model_type": "gemma3"}, "gemma3 also sees or hears", "gemma3_text"),
        ({"model_type": "bert"}, "both directions", "is_decoder"),
        ({**LLAMA, "auto_map": {"AutoModelForCausalLM": "evil.Model"}}, "Python code of its own", "never runs"),
        ({**LLAMA, "hidden_size": 30}, "not a multiple of the number of attention heads", "sizes"),
        ({**LLAMA, "num_key_value_heads": 3}, "4 attention heads cannot share 3", "multiple"),
        ({"model_type": "gpt2", "n_embd": 30, "n_head": 4}, "divisible by num_heads", "sizes"),
        ({**LLAMA, "hidden_size": "wide"}, "expected int", "sizes"),
        ({**LLAMA, "num_hidden_layers": 0}, "num_hidden_layers is 0", "at least one"),
        ({**LLAMA, "num_attention_heads": 0}, "no model can be built", "sizes"),
        ({**LLAMA, "hidden_act": "swoosh"}, "'swoosh' is unknown", "sizes"),
        ({**LLAMA, "vocab_size": -5}, "vocab_size is -5", "--vocab-size"),
        ({**LLAMA, "num_hiden_layers": 9}, "no 'num_hiden_layers'", "num_hidden_layers"),
    ],
)
def test_a_config_that_no_model_can_be_built_from_is_refused(config: Any, message: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message) as error:
        read_blueprint(write(tmp_path, config))
    assert hint in error.value.hint


TABLES = """
[config]
model_type = "llama"
hidden_size = 32
num_attention_heads = 4
num_hidden_layers = 2
dtype = "bfloat16"
[tokenizer]
chat_template = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|stop|>{% endfor %}"
end_of_turn = "<|stop|>"
special_tokens = ["<|user|>"]
[generation_config]
do_sample = true
temperature = 0.6
"""


def in_toml(path: Path, text: str) -> Path:
    file = path / "模型.toml"
    file.write_text(text, "utf-8")
    return file


def test_toml_also_describes_conversations_and_sampling(tmp_path: Path) -> None:
    blueprint = read_blueprint(in_toml(tmp_path, TABLES))
    assert (blueprint.config.hidden_size, str(blueprint.config.dtype)) == (32, "torch.bfloat16")
    assert blueprint.turns is not None
    assert (blueprint.turns.end_of_turn, blueprint.turns.special_tokens) == ("<|stop|>", ("<|user|>",))
    model = build_model(blueprint, build_tokenizer(tmp_path / "tokenizer"), 0, torch.float32)
    assert (model.generation_config.do_sample, model.generation_config.temperature) == (True, 0.6)


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ("[config]", "[config", r"模型\.toml: ", "TOML"),
        ("[config]", "[confg]", r"no table \[confg\]", "did you mean config"),
        ("[config]", "epochs = 3\n[config]", "epochs stands outside", "[config]"),
        (TABLES, "[tokenizer]", r"table \[config\] is missing", "model_type"),
        ("end_of_turn", "end_of_turns", r"\[tokenizer\] has no end_of_turn", "ChatML"),
        ("special_tokens", "vocab = 1\nspecial_tokens", r"\[tokenizer\] has no field vocab", "there is"),
        ('["<|user|>"]', '["<|stop|>"]', "different texts", "in any case"),
        ('["<|user|>"]', '"<|user|>"', "different texts", "in any case"),
        ("{% endfor %}", "", "chat_template: ", "Jinja"),
        ("<|stop|>{%", "{%", "puts no <|stop|> after an answer", "replies stop"),
        ("temperature", "temprature", r"\[generation_config\] has no field temprature", "temperature"),
        ("temperature = 0.6", "eos_token_id = 3", "follows from the tokenizer", "leave it out"),
        ("temperature = 0.6", "max_new_tokens = -1", "max_new_tokens", "correct it"),
    ],
)
def test_toml_that_cannot_be_meant_is_refused(old: str, new: str, message: str, hint: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message) as error:
        read_blueprint(in_toml(tmp_path, TABLES.replace(old, new)))
    assert hint in error.value.hint


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        read_blueprint(tmp_path / "nowhere.json")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_bytes(b'{"model_type": "\xff"}')
    with pytest.raises(UsageError, match="cannot be read"):
        read_blueprint(tmp_path / "c.json")


def test_a_blueprint_knows_what_the_file_leaves_open(tmp_path: Path) -> None:
    assert read_blueprint(write(tmp_path, LLAMA)).vocab_size is None
    blueprint = read_blueprint(write(tmp_path, {**LLAMA, "vocab_size": 5000}))
    assert blueprint.vocab_size == 5000
    in_layers = 2 * (4 * 32 * 32 + 3 * 32 * 64 + 2 * 32) + 32
    assert blueprint.body_per_width == in_layers // 32


def test_a_config_from_a_published_model_is_taken_as_it_is(tmp_path: Path) -> None:
    published = {
        **LLAMA,
        "architectures": ["LlamaForCausalLM"],
        "torch_dtype": "bfloat16",
        "rope_theta": 10000.0,
        "transformers_version": "4.40.0",
    }
    read_blueprint(write(tmp_path, {**LLAMA, **published, "bos_token_id": 128000, "eos_token_id": [128001, 128009]}))


def test_the_tokenizer_gives_the_vocabulary_and_the_special_tokens(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(tmp_path / "tokenizer")
    blueprint = read_blueprint(write(tmp_path, {**LLAMA, "vocab_size": 5000, "eos_token_id": 4999}))
    model = build_model(blueprint, tokenizer, 0, torch.float32)
    assert model.get_input_embeddings().num_embeddings == len(tokenizer)
    assert model.config.eos_token_id == model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert blueprint.config.eos_token_id is None


def test_the_seed_decides_and_the_random_state_stays(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(tmp_path / "tokenizer")
    blueprint = read_blueprint(write(tmp_path, LLAMA))
    before = torch.get_rng_state()
    first, again, other = (build_model(blueprint, tokenizer, seed, torch.float32).lm_head.weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)

"""Two-layer models with random weights and a small byte-level tokenizer: real folders that take milliseconds to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    BartConfig,
    Gemma2Config,
    GemmaConfig,
    Glm4MoeConfig,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    PhiConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    RwkvConfig,
    T5Config,
)

VOCAB_SIZE = 400
END, TURN_BEGINS, TURN_ENDS = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TRAINING_TEXT = [
    "The quick brown fox jumps over the lazy dog. The dog sleeps; the fox does not.",
    "Once upon a time there was a little girl who had a red ball and a blue kite.",
    "user assistant system: what is the answer to this question? The answer is forty-two.",
    "你好，世界。今天天气很好，我们去公园散步。模型会写中文，也会写英文。",
    "床前明月光，疑是地上霜。举头望明月，低头思故乡。",
    "Emoji: 😀 👍🏽 👩‍💻 👨‍👩‍👧 🇨🇳 ❤️ and combining marks: é ñ ü.",
]

# initializer_range: with the usual 0.02 all tokens are nearly as likely, and greedy decoding repeats one of them
SMALL = {"vocab_size": VOCAB_SIZE, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "initializer_range": 0.3}
GATED = {**SMALL, "intermediate_size": 64, "num_key_value_heads": 2, "max_position_embeddings": 256}
ARCHITECTURES: dict[str, tuple[type[PreTrainedConfig], dict[str, Any]]] = {
    "gpt2": (GPT2Config, {"vocab_size": VOCAB_SIZE, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "initializer_range": 0.3}),
    "llama": (LlamaConfig, GATED),
    "qwen2": (Qwen2Config, GATED),
    "glm4_moe": (
        Glm4MoeConfig,
        {**GATED, "head_dim": 8, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "first_k_dense_replace": 1},
    ),
    "qwen3": (Qwen3Config, {**GATED, "head_dim": 8}),
    "gemma": (GemmaConfig, {**GATED, "head_dim": 8}),
    "mistral": (MistralConfig, {**GATED, "sliding_window": None}),
    "phi": (PhiConfig, {**SMALL, "intermediate_size": 64, "max_position_embeddings": 256}),
    "gemma2": (Gemma2Config, {**GATED, "head_dim": 8, "sliding_window": 16}),
    "mamba": (
        MambaConfig,
        {"vocab_size": VOCAB_SIZE, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8, "initializer_range": 0.3},
    ),
    "rwkv": (RwkvConfig, {"vocab_size": VOCAB_SIZE, "hidden_size": 32, "num_hidden_layers": 2}),
    "t5": (
        T5Config,
        {"vocab_size": VOCAB_SIZE, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "initializer_factor": 4.0},
    ),
    "bart": (
        BartConfig,
        {
            "vocab_size": VOCAB_SIZE,
            "d_model": 32,
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 64,
            "decoder_ffn_dim": 64,
            "max_position_embeddings": 256,
            "init_std": 0.3,
        },
    ),
}


def build_model(folder: Path, architecture: str, *, seed: int = 0, **config_overrides: Any) -> Path:
    """A transformers folder with config, safetensors and tokenizer; the same seed gives the same weights.

    architecture: a key of ARCHITECTURES.  config_overrides: fields of its config, such as max_position_embeddings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer(folder)
    end = tokenizer.eos_token_id
    config_class, small = ARCHITECTURES[architecture]
    config = config_class(**{**small, "bos_token_id": end, "eos_token_id": end, "pad_token_id": end, **config_overrides})
    if config.is_encoder_decoder:
        config.decoder_start_token_id = end
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        kind.from_config(config).eval().save_pretrained(folder)
    return folder


def build_tokenizer(folder: Path, *, chat_template: str | None = CHAT_TEMPLATE) -> PreTrainedTokenizerFast:
    """Saves a byte-level BPE tokenizer of VOCAB_SIZE tokens: common words are one token, an emoji several.

    chat_template: None makes it a base model's tokenizer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        min_frequency=1,
        special_tokens=[END, TURN_BEGINS, TURN_ENDS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(TRAINING_TEXT, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=END,
        bos_token=END,
        pad_token=END,
        additional_special_tokens=[TURN_BEGINS, TURN_ENDS],
        model_max_length=256,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = chat_template
    tokenizer.save_pretrained(folder)
    return tokenizer


def build_scripted_model(folder: Path, text: str) -> Path:
    """A Llama that answers any chat, and continues any text that ends with a colon, by saying `text`, then ends.

    Its layers add nothing; the head holds, in the row of each token, the embedding of the one that comes before it.
    Raises: ValueError for a text in which a token comes twice, for then it has two followers.
    """
    build_model(folder, "llama", hidden_size=64)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    script = tokenizer(text).input_ids
    if len(set(script)) < len(script):
        raise ValueError(f"a token comes twice in {text!r}")
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        embedding = torch.nn.functional.normalize(model.model.embed_tokens.weight, dim=-1)  # (V, D)
        head = torch.zeros_like(embedding)
        before = [tokenizer.convert_tokens_to_ids("Ċ"), tokenizer.convert_tokens_to_ids(":")]  # a chat's prompt ends with a line feed
        for previous, token in zip([before, *([token] for token in script)], [*script, tokenizer.eos_token_id], strict=True):
            head[token] = 8 * embedding[previous].sum(0)
        model.lm_head.weight.copy_(head)
    model.save_pretrained(folder)
    return folder

"""Trains `builtin:text`: corpus -> tokenizer -> Llama-shaped model -> a transformers folder.

    python recipes/text/train.py --data DATA --work WORK --output aigc_cli/builtin/text

One command, resumable: it goes on from WORK/checkpoint.pt when that exists. The learning rate is
warmup-stable-decay, so a shorter or longer --tokens can still be chosen while the stable part runs.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import math
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import corpus
import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

END_OF_TEXT, USER, ASSISTANT, SYSTEM, END = "<|endoftext|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] | trim + '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
VOCAB_SIZE, CONTEXT = 4096, 1024
STEP_TOKENS, LOG_STEPS, CHECKPOINT_STEPS = 8192, 10, 200
WARMUP_STEPS, DECAY_FRACTION = 60, 0.35
SHORT_LENGTH = 256  # before the decay; most stories fit, and a step costs 0.6 of what one at CONTEXT does


def render(talk: corpus.Conversation) -> str:
    """A conversation as CHAT_TEMPLATE writes it, without the leading bos token."""
    return "".join(f"<|{m['role']}|>{m['content'].strip()}{END}" for m in talk)


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[END_OF_TEXT, USER, ASSISTANT, SYSTEM, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{END_OF_TEXT} $A", special_tokens=[(END_OF_TEXT, 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        pad_token=END_OF_TEXT,
        additional_special_tokens=[USER, ASSISTANT, SYSTEM, END],
        chat_template=CHAT_TEMPLATE,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def epoch(data: Path, seed: int, tokenizer: PreTrainedTokenizerFast) -> np.ndarray:
    """One pass over the mix as a flat token array, documents shuffled and separated by end-of-text."""
    draw = random.Random(seed)
    training_stories, _ = corpus.stories(data)
    tales = corpus.tales(data)
    documents = training_stories + draw.sample(tales, len(tales) // 2) + corpus.book_passages(data, draw, 0.06)
    documents += [render(talk) for talk in corpus.conversations(data, training_stories, draw)]
    draw.shuffle(documents)
    ids = tokenizer(documents, add_special_tokens=False).input_ids
    separator = tokenizer.bos_token_id
    return np.fromiter((token for document in ids for token in [separator, *document]), dtype=np.int32)


def token_batches(data: Path, seed: int, tokenizer: PreTrainedTokenizerFast) -> Iterator[torch.Tensor]:
    """Yields (STEP_TOKENS + 1,) token ids, epoch after epoch, for ever."""
    stream = np.empty(0, dtype=np.int32)
    while True:
        while len(stream) <= STEP_TOKENS:
            stream = np.concatenate([stream, epoch(data, seed, tokenizer)])
            seed += 1
        yield torch.from_numpy(stream[: STEP_TOKENS + 1]).long()
        stream = stream[STEP_TOKENS:]


def next_token_loss(model: LlamaForCausalLM, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy in nats; inputs and targets (B, S). One function, so that it compiles as a whole."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model(inputs, use_cache=False).last_hidden_state  # (B, S, D)
        logits = hidden @ model.lm_head.weight.T  # (B, S, V)
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def build_model() -> LlamaForCausalLM:
    """5.48 million parameters, tied embeddings."""
    config = LlamaConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=256,
        intermediate_size=704,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        rope_theta=10000.0,
        initializer_range=0.04,
    )
    return LlamaForCausalLM(config)


def optimizers(model: LlamaForCausalLM, learning_rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the layers, AdamW for embeddings and norms."""
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    inside = {id(p) for p in matrices}
    others = [p for p in model.parameters() if id(p) not in inside]
    return [
        torch.optim.Muon(matrices, lr=learning_rate, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=learning_rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def learning_rate_scale(step: int, steps: int) -> float:
    """Warm-up, a constant part, and a linear decay to zero over the last DECAY_FRACTION."""
    decay_start = steps * (1 - DECAY_FRACTION)
    if step < WARMUP_STEPS:
        return (step + 1) / WARMUP_STEPS
    return 1.0 if step < decay_start else max(0.0, (steps - step) / (steps - decay_start))


@torch.no_grad()
def held_out_bits_per_byte(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, texts: list[str], count: int = 40) -> float:
    """-log2 p of each text's tokens after a start token, over its UTF-8 bytes."""
    model.eval()
    bits = size = 0.0
    for text in texts[:count]:
        ids = torch.tensor([tokenizer(text).input_ids[:CONTEXT]])  # (1, S), bos first
        log_p = model(ids).logits[0, :-1].float().log_softmax(-1)
        bits -= log_p.gather(1, ids[0, 1:, None]).sum().item() / math.log(2)
        size += len(tokenizer.decode(ids[0, 1:]).encode())
    model.train()
    return bits / size


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, output: Path) -> None:
    """Writes bfloat16 weights, and a tokenizer_config that transformers 4 and other tools read too."""
    shipped = build_model()
    shipped.load_state_dict(model.state_dict())
    shipped.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=[tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(END)],
        pad_token_id=tokenizer.pad_token_id,
        do_sample=True,
        temperature=0.6,
        top_p=0.9,
        repetition_penalty=1.15,  # small models repeat themselves
    )
    shipped.to(torch.bfloat16).save_pretrained(output)
    tokenizer.save_pretrained(output)
    config_file = output / "tokenizer_config.json"
    config = json.loads(config_file.read_text())
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    config["additional_special_tokens"] = config.pop("extra_special_tokens")
    for name in ("backend", "is_local", "local_files_only"):
        config.pop(name, None)
    config_file.write_text(json.dumps(config, indent=2) + "\n")
    for file in output.iterdir():
        file.chmod(0o644)


def open_tokenizer(data: Path, work: Path, training_stories: list[str], seed: int) -> PreTrainedTokenizerFast:
    """The tokenizer of an earlier run, else a new one."""
    folder = work / "tokenizer"
    if not folder.exists():
        talks = [render(talk) for talk in corpus.conversations(data, training_stories, random.Random(seed))]
        train_tokenizer(training_stories + corpus.tales(data) + talks).save_pretrained(folder)
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(folder)
    return tokenizer


def save_checkpoint(path: Path, model: LlamaForCausalLM, opts: list[torch.optim.Optimizer], step: int) -> None:
    """Under a temporary name first, so that a kill leaves the last one whole."""
    temporary = path.with_suffix(".tmp")
    torch.save({"model": model.state_dict(), "optimizers": [opt.state_dict() for opt in opts], "step": step}, temporary)
    os.replace(temporary, path)


def load_checkpoint(path: Path, model: LlamaForCausalLM, opts: list[torch.optim.Optimizer]) -> int:
    """Puts weights and optimizers back. Returns: the steps done, 0 where there is no checkpoint."""
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    for opt, saved in zip(opts, state["optimizers"], strict=True):
        opt.load_state_dict(saved)
    step: int = state["step"]
    return step


def train_step(
    loss_function: Callable[..., torch.Tensor], model: LlamaForCausalLM, opts: list[torch.optim.Optimizer], batch: torch.Tensor, length: int
) -> float:
    """One update from (STEP_TOKENS + 1,) token ids, cut into sequences of `length`. Returns: the loss in nats."""
    loss = loss_function(batch[:-1].view(-1, length), batch[1:].view(-1, length))
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for opt in opts:
        opt.step()
        opt.zero_grad(set_to_none=True)
    return loss.item()


def train(args: argparse.Namespace) -> None:
    training_stories, held_out = corpus.stories(args.data)
    tokenizer = open_tokenizer(args.data, args.work, training_stories, args.seed)
    model = build_model()
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f}M parameters", flush=True)
    opts = optimizers(model, args.learning_rate)
    loss_function = torch.compile(functools.partial(next_token_loss, model), dynamic=False)
    steps, checkpoint = int(args.tokens // STEP_TOKENS), args.work / "checkpoint.pt"
    first_step = load_checkpoint(checkpoint, model, opts)
    # a resumed run walks the same stream to where it was
    batches = itertools.islice(token_batches(args.data, args.seed, tokenizer), first_step, None)
    started = time.perf_counter()
    for step in range(first_step, steps):
        for opt in opts:
            opt.param_groups[0]["lr"] = args.learning_rate * learning_rate_scale(step, steps)
        length = SHORT_LENGTH if step < steps * (1 - DECAY_FRACTION) else CONTEXT
        loss = train_step(loss_function, model, opts, next(batches), length)
        done = step + 1
        if done % LOG_STEPS and done != steps:
            continue
        rate = LOG_STEPS * STEP_TOKENS / (time.perf_counter() - started)
        record = {"step": done, "steps": steps, "loss": round(loss, 4), "tokens_per_second": round(rate)}
        if done % CHECKPOINT_STEPS == 0 or done == steps:
            record["held_out_bits_per_byte"] = round(held_out_bits_per_byte(model, tokenizer, held_out), 4)
            save_checkpoint(checkpoint, model, opts, done)
        print(json.dumps(record), flush=True)
        with (args.work / "log.jsonl").open("a") as log:
            log.write(json.dumps(record) + "\n")
        started = time.perf_counter()
    save(model, tokenizer, args.output)
    (args.output / "CREDITS.txt").write_text(corpus.credits(args.data))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with text/ and chat/")
    parser.add_argument("--work", type=Path, required=True, help="tokenizer, checkpoint and log")
    parser.add_argument("--output", type=Path, required=True, help="the transformers folder to write")
    parser.add_argument("--tokens", type=float, default=13.52e6)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    train(args)


if __name__ == "__main__":
    main()

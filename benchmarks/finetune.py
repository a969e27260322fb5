"""Tokens per second and peak memory of training, beside trl's SFTTrainer and transformers' Trainer.

    pip install trl datasets
    python benchmarks/finetune.py --data rows.jsonl [--model FOLDER] [--methods lora,full] [--dtype bfloat16] [--batch-size 8] [--rounds 3]

The same rows (with `prompt` and `completion`), model, batch size, LoRA and dtype; one pass over the rows, each run in a process of its
own, the sides in turn. All learn the completions alone and read the prompt as it stands. Time is counted from the end of the third
step to the end of the last; tokens are those of the rows, padding not counted. The peers' gradient checkpointing, which trl switches
on by default, is off. Without --model, random weights in SmolLM2-135M's shape. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BUILTIN = Path(__file__).parents[1] / "aigc_cli/builtin/text"
SHAPE = {"hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "intermediate_size": 1536}
WARM_UP = 3  # steps
SIDES = ("aigc", "trl", "trainer")
MAX_LENGTH, RANK, ALPHA, LEARNING_RATE = 1024, 16, 32, 1e-4


def random_model(folder: Path) -> None:
    """SmolLM2-135M's shape, with the tokenizer of the built-in model."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

    AutoTokenizer.from_pretrained(BUILTIN).save_pretrained(folder)
    config = LlamaConfig(**SHAPE, vocab_size=49152, max_position_embeddings=2048, tie_word_embeddings=True)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)


def run_aigc(args: argparse.Namespace, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "aigc_cli", "finetune", args.data, "-m", args.model, "-o", str(folder / "run"), "--json", "--raw"]
    command += ["--method", args.method, "--dtype", args.dtype, "--device", args.device, "--batch-size", str(args.batch_size)]
    command += [
        "--learning-rate",
        str(LEARNING_RATE),
        "--max-length",
        str(MAX_LENGTH),
        "--epochs",
        "1",
        "--val-split",
        "0",
        "--samples",
        "0",
    ]
    if args.method == "lora":
        command += ["--lora-rank", str(RANK), "--lora-alpha", str(ALPHA)]
    if args.packing:
        command += ["--packing"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    steps = [event for event in map(json.loads, lines) if event["event"] == "train_step"]
    first, last = steps[WARM_UP - 1], steps[-1]
    speed = (last["tokens"] - first["tokens"]) / (last["t"] - first["t"])
    return {"tokens_per_second": speed, "peak_memory": last["peak_memory"]}


def run_peer(args: argparse.Namespace, folder: Path) -> dict[str, float]:
    """In this process: call it in one of its own."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

    from aigc_cli.backends.device import peak_memory

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    rows = [json.loads(line) for line in Path(args.data).read_text("utf-8").splitlines()]
    is_bfloat16 = args.dtype == "bfloat16"
    model = AutoModelForCausalLM.from_pretrained(
        args.model, dtype=torch.bfloat16 if is_bfloat16 and args.method == "lora" else torch.float32
    )
    common: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": args.batch_size,
        "num_train_epochs": 1,
        "learning_rate": LEARNING_RATE,
        "lr_scheduler_type": "cosine",
        "bf16": is_bfloat16,
        "use_cpu": args.device == "cpu",
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "gradient_checkpointing": False,
        "seed": 0,
    }
    trainer = make_trl(args, model, tokenizer, rows, common) if args.side == "trl" else make_trainer(args, model, tokenizer, rows, common)
    counted = {"tokens": 0, "at_warm_up": 0, "began": 0.0, "ended": 0.0, "steps": 0}
    training_step = trainer.training_step

    def counting(model: Any, inputs: Any, *rest: Any) -> Any:
        counted["tokens"] += int(inputs["attention_mask"].sum())
        return training_step(model, inputs, *rest)

    class Clock(TrainerCallback):
        def on_step_end(self, *arguments: Any, **options: Any) -> None:
            counted["steps"] += 1
            counted["ended"] = time.perf_counter()
            if counted["steps"] == WARM_UP:
                counted["began"], counted["at_warm_up"] = counted["ended"], counted["tokens"]

    trainer.training_step = counting
    trainer.add_callback(Clock())
    trainer.train()
    speed = (counted["tokens"] - counted["at_warm_up"]) / (counted["ended"] - counted["began"])
    return {"tokens_per_second": speed, "peak_memory": peak_memory("cuda:0" if args.device.startswith("cuda") else "cpu")}


def lora_config() -> Any:
    from peft import LoraConfig

    return LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules="all-linear", task_type="CAUSAL_LM")


def make_trl(args: argparse.Namespace, model: Any, tokenizer: Any, rows: Sequence[dict[str, str]], common: dict[str, Any]) -> Any:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    config = SFTConfig(**common, max_length=MAX_LENGTH, packing=args.packing)
    dataset = Dataset.from_list([{"prompt": row["prompt"], "completion": row["completion"]} for row in rows])
    peft_config = lora_config() if args.method == "lora" else None
    return SFTTrainer(model=model, args=config, train_dataset=dataset, processing_class=tokenizer, peft_config=peft_config)


def make_trainer(args: argparse.Namespace, model: Any, tokenizer: Any, rows: Sequence[dict[str, str]], common: dict[str, Any]) -> Any:
    from peft import get_peft_model
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    def encode(row: dict[str, str]) -> dict[str, list[int]]:
        prompt = tokenizer(row["prompt"]).input_ids
        completion = [*tokenizer(row["completion"], add_special_tokens=False).input_ids, tokenizer.eos_token_id]
        labels = ([-100] * len(prompt) + completion)[:MAX_LENGTH]
        ids = (prompt + completion)[:MAX_LENGTH]
        return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels}

    if args.method == "lora":
        model = get_peft_model(model, lora_config())
    return Trainer(
        model=model,
        args=TrainingArguments(**common),
        train_dataset=[encode(row) for row in rows],  # type: ignore[arg-type]
        data_collator=DataCollatorForSeq2Seq(tokenizer),
    )


def measure(args: argparse.Namespace, side: str, method: str) -> dict[str, float]:
    """One run of one side, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        if side == "aigc":
            return run_aigc(argparse.Namespace(**{**vars(args), "method": method}), Path(folder))
        options = ["--data", args.data, "--model", args.model, "--dtype", args.dtype, "--device", args.device]
        options += ["--batch-size", str(args.batch_size), "--side", side, "--method", method] + (["--packing"] if args.packing else [])
        done = subprocess.run([sys.executable, __file__, *options], check=True, capture_output=True, text=True)
        figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
        return figures


def compare(args: argparse.Namespace, method: str, sides: Sequence[str]) -> dict[str, dict[str, float]]:
    """Medians of each side, and of the ratios within a round."""
    found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for _ in range(args.rounds):
        for side in sides:
            found[side].append(measure(args, side, method))
            print(f"  {method:5} {side:8} {found[side][-1]['tokens_per_second']:9.1f} tokens/s", file=sys.stderr)
    summary = {}
    for side in sides:
        speeds = [figures["tokens_per_second"] for figures in found[side]]
        ratios = [ours["tokens_per_second"] / speed for ours, speed in zip(found["aigc"], speeds, strict=True)]
        memory = statistics.median(figures["peak_memory"] for figures in found[side])
        summary[side] = {"tokens_per_second": statistics.median(speeds), "aigc_is_faster": statistics.median(ratios), "peak_memory": memory}
        print(f"{method:5} {side:8} {summary[side]['tokens_per_second']:9.1f} tokens/s ({min(speeds):.1f} to {max(speeds):.1f})"
              f"   aigc is {summary[side]['aigc_is_faster']:.2f} times as fast   peak {memory / 2**20:,.0f} MiB")  # fmt: skip
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--model")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="bfloat16", choices=("float32", "bfloat16"))
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--packing", action="store_true")
    parser.add_argument("--methods", default="lora,full")
    parser.add_argument("--sides", default=",".join(SIDES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--method", help=argparse.SUPPRESS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.side:
            print(json.dumps(run_peer(args, Path(folder))))
            return
        if not args.model:
            args.model = folder
            random_model(Path(folder))
        print(f"{Path(args.data).name}, {args.device}, {args.dtype}, batch {args.batch_size}{', packed' if args.packing else ''}")
        summary = {method: compare(args, method, args.sides.split(",")) for method in args.methods.split(",")}
        print(json.dumps(summary))


if __name__ == "__main__":
    main()

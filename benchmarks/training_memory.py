"""The memory that training was said to take, beside the peak that `aigc finetune` then takes, each in a process of its own.

    python benchmarks/training_memory.py [--shapes builtin,smollm2-135m,qwen2.5-0.5b] [--methods lora,full]
        [--rows 4] [--length 256] [--varied]

Models of well-known shapes with random weights, in bfloat16, on the CPU; a few steps, an evaluation, a checkpoint, the result.
The last line is the same as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM, AutoTokenizer

from aigc_cli.backends.device import choose
from aigc_cli.backends.train.text.footprint import open_case
from aigc_cli.core.finetune import DataChoice, FinetuneRequest, Optimization, Pace, Tuning
from aigc_cli.core.units import format_size

BUILTIN = Path(__file__).parents[1] / "aigc_cli/builtin/text"
LLAMA_LIKE = {"tie_word_embeddings": True, "bos_token_id": 0, "eos_token_id": 0}
SHAPES = {
    "smollm2-135m": {
        **LLAMA_LIKE,
        "model_type": "llama",
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49152,
    },
    "qwen2.5-0.5b": {
        **LLAMA_LIKE,
        "model_type": "qwen2",
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
    },
    "gpt2": {"model_type": "gpt2", "bos_token_id": 0, "eos_token_id": 0},
}
WORDS = ["sun", "moon", "hill", "river", "stone", "bird", "fox", "child", "bread", "song"]
STEPS, VARIED_STEPS = 3, 30
ROWS = 200


def model_folder(shape: str, parent: Path) -> Path:
    """The built-in model, or one of a known shape with random weights and the built-in one's tokenizer."""
    folder = parent / shape
    if shape == "builtin":
        return BUILTIN
    if not folder.exists():
        values = dict(SHAPES[shape])
        config = CONFIG_MAPPING[values.pop("model_type")](**values)
        AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(folder)
        AutoTokenizer.from_pretrained(BUILTIN).save_pretrained(folder)
    return folder


def write_rows(path: Path, length: int, varied: bool) -> None:
    """Rows that are all longer than `length` tokens, or of any length up to that: every word is a token or two."""
    draw = random.Random(0)
    words = [draw.randint(length // 8, length) if varied else length + 8 for _ in range(ROWS)]
    rows = [{"text": " ".join(draw.choices(WORDS, k=count))} for count in words]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def measured(command: list[str]) -> int:
    """Peak resident memory of a command, in bytes (Linux)."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed:\n{said}")
    return usage.ru_maxrss * 1024


def estimated(folder: Path, method: str, args: argparse.Namespace) -> int:
    request = FinetuneRequest(
        model=str(folder),
        data=DataChoice(paths=("rows.jsonl",)),
        tuning=Tuning(method=method),
        optimization=Optimization(gradient_checkpointing=args.gradient_checkpointing),
        pace=Pace(batch_size=args.rows),
    )
    placement = choose("cpu", "bfloat16")
    case = open_case(AutoConfig.from_pretrained(folder), request, placement, longest=args.length)
    assert case is not None
    if args.parts:
        print("   ", ", ".join(f"{name} {format_size(size)}" for name, size in case.estimate().parts))
    return case.estimate().total


def finetune(folder: Path, method: str, args: argparse.Namespace, work: Path) -> list[str]:
    options: dict[str, object] = {
        "-m": folder,
        "-o": work / "run",
        "--method": method,
        "--device": "cpu",
        "--dtype": "bfloat16",
        "--batch-size": args.rows,
        "--max-length": args.length,
        "--max-steps": VARIED_STEPS if args.varied else STEPS,
        "--samples": 0,
        "--max-eval-samples": 4,
    }
    words = [str(word) for pair in options.items() for word in pair]
    checkpointing = ["--gradient-checkpointing"] if args.gradient_checkpointing else []
    return [sys.executable, "-m", "aigc_cli", "finetune", str(work / "rows.jsonl"), "--overwrite", *words, *checkpointing]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default="builtin,smollm2-135m,qwen2.5-0.5b")
    parser.add_argument("--methods", default="lora,full")
    parser.add_argument("--rows", type=int, default=4, help="that run together")
    parser.add_argument("--length", type=int, default=256, help="tokens of a row")
    parser.add_argument("--varied", action="store_true", help="rows of any length up to that, and ten times the steps")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--parts", action="store_true", help="show what the estimate is made of")
    args = parser.parse_args()
    results = []
    batch = f"{args.rows} x {'up to ' if args.varied else ''}{args.length} tokens"
    print(f"{'shape':14} {'method':6} {'estimated':>10} {'measured':>10} {'ratio':>6}   {batch}")
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        write_rows(work / "rows.jsonl", args.length, args.varied)
        for shape in args.shapes.split(","):
            folder = model_folder(shape, work)
            for method in args.methods.split(","):
                estimate, peak = estimated(folder, method, args), measured(finetune(folder, method, args, work))
                print(f"{shape:14} {method:6} {format_size(estimate):>10} {format_size(peak):>10} {estimate / peak:6.2f}", flush=True)
                results.append(
                    {"shape": shape, "method": method, "estimated": estimate, "measured": peak, "ratio": round(estimate / peak, 3)}
                )
    print(
        json.dumps(
            {
                "rows": args.rows,
                "length": args.length,
                "varied": args.varied,
                "gradient_checkpointing": args.gradient_checkpointing,
                "results": results,
            }
        )
    )


if __name__ == "__main__":
    main()

"""Tokens per second of our loop beside transformers' `generate`, on the same weights, in turn, in one process.

    python benchmarks/text.py [--model FOLDER] [--dtype float32] [--tokens 200] [--runs 7]

Greedy, batch 1. Also the time to first token in the first and in the tenth turn of a chat. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from aigc_cli.backends.torch_text import TorchTextEngine
from aigc_cli.core.engine import EngineOptions, ModelSource
from aigc_cli.core.events import Done, TextDelta
from aigc_cli.core.request import Message, Sampling, TextRequest

BUILTIN = Path(__file__).parents[1] / "aigc_cli/builtin/text"
PROMPT = "Once upon a time, there was a little girl named Lily. She loved to play"


def alternate(sides: dict[str, Callable[[], float]], runs: int) -> dict[str, list[float]]:
    """Runs the sides in turn, `runs` times after one round of warm-up."""
    figures: dict[str, list[float]] = {name: [] for name in sides}
    for round_number in range(runs + 1):
        for name, measure in sides.items():
            figure = measure()
            if round_number:
                figures[name].append(figure)
    return figures


def tenth_turn(engine: TorchTextEngine) -> tuple[float, float]:
    """Seconds to the first token in turn 1 and turn 10 of a chat."""
    messages: tuple[Message, ...] = ()
    ttft = []
    for turn in range(10):
        messages = (*messages, Message("user", f"And what did the cat do on day {turn + 1}?"))
        request = TextRequest(messages=messages, mode="chat", max_new_tokens=24, min_new_tokens=24, seed=1)
        events = list(engine.stream(request))
        done = events[-1]
        assert isinstance(done, Done)
        ttft.append(done.ttft or 0.0)
        messages = (*messages, Message("assistant", "".join(event.text for event in events if isinstance(event, TextDelta))))
    return ttft[0], ttft[9]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=BUILTIN)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--runs", type=int, default=7)
    args = parser.parse_args()
    engine = TorchTextEngine(ModelSource(args.model.name, "folder", args.model), EngineOptions(device=args.device, dtype=args.dtype))
    device = engine.placement.device
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=getattr(torch, args.dtype)).to(device).eval()
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    inputs = tokenizer(PROMPT, return_tensors="pt").to(device)
    greedy = Sampling(temperature=0.0, repetition_penalty=1.0)
    request = TextRequest(
        messages=(Message("user", PROMPT),), mode="raw", sampling=greedy, max_new_tokens=args.tokens, min_new_tokens=args.tokens
    )
    options = {"do_sample": False, "repetition_penalty": 1.0, "max_new_tokens": args.tokens, "min_new_tokens": args.tokens}

    def ours() -> float:
        engine.decoder.reset()
        started = time.perf_counter()
        list(engine.stream(request))
        return args.tokens / (time.perf_counter() - started)

    def generate() -> float:
        started = time.perf_counter()
        model.generate(inputs.input_ids, attention_mask=inputs.attention_mask, **options)
        return args.tokens / (time.perf_counter() - started)

    figures = alternate({"aigc": ours, "generate": generate}, args.runs)
    ratios = [a / b for a, b in zip(figures["aigc"], figures["generate"], strict=True)]
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    tokens = f"{inputs.input_ids.shape[1]} + {args.tokens} tokens"
    print(f"{args.model.name}, {parameters:.1f}M parameters, {device}, {args.dtype}, batch 1, {tokens}")
    for name, values in figures.items():
        print(f"{name:10} median {statistics.median(values):8.1f} tokens/s   {min(values):8.1f} to {max(values):8.1f}")
    print(f"ratio      median {statistics.median(ratios):8.2f}")
    first, tenth = tenth_turn(engine)
    print(f"chat: first token after {1000 * first:.1f} ms in turn 1, {1000 * tenth:.1f} ms in turn 10")
    medians = {name: round(statistics.median(values), 1) for name, values in figures.items()}
    summary = {"tokens_per_second": medians, "ratio": round(statistics.median(ratios), 3), "ttft_turn_1": first, "ttft_turn_10": tenth}
    print(json.dumps(summary))


if __name__ == "__main__":
    main()

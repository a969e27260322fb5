"""Start-up and first token: whole processes, side by side, in turn.

    python benchmarks/startup.py [--runs 7] [--model builtin:text]

Times `python -c "import torch"`, `aigc --help`, and `aigc complete` to its first piece of text and to its end.
The last line is the same as JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

PROMPT = "Once upon a time, there was"


def whole(command: list[str]) -> float:
    """Seconds from start to exit."""
    started = time.perf_counter()
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return time.perf_counter() - started


def first_text(command: list[str]) -> float:
    """Seconds from start to the first byte on stdout, which is the first piece of text."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        if not process.stdout.read(1):
            raise SystemExit(f"no output from: {' '.join(command)}")
        seconds = time.perf_counter() - started
        process.stdout.read()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--model", default="builtin:text")
    args = parser.parse_args()
    aigc = [sys.executable, "-m", "aigc_cli"]
    complete = [*aigc, "complete", "-m", args.model, PROMPT, "--max-new-tokens", "16", "--seed", "1", "-q"]
    sides = {
        "python -c 'import torch'": lambda: whole([sys.executable, "-c", "import torch"]),
        "aigc --help": lambda: whole([*aigc, "--help"]),
        "aigc complete, first token": lambda: first_text(complete),
        "aigc complete, 16 tokens": lambda: whole(complete),
    }
    times: dict[str, list[float]] = {name: [] for name in sides}
    for round_number in range(args.runs + 1):
        for name, measure in sides.items():
            seconds = measure()
            if round_number:  # the first round warms the file cache
                times[name].append(seconds)
    for name, values in times.items():
        print(f"{name:28} median {statistics.median(values):6.3f} s   {min(values):6.3f} to {max(values):6.3f}")
    names = list(sides)
    beyond = [first - torch for first, torch in zip(times[names[2]], times[names[0]], strict=True)]
    print(f"{'first token beyond torch':28} median {statistics.median(beyond):6.3f} s")
    print(json.dumps({"runs": args.runs, "model": args.model, "medians": {n: round(statistics.median(v), 4) for n, v in times.items()}}))


if __name__ == "__main__":
    main()

"""Seconds per step and per picture, and peak memory, beside plain diffusers and stable-diffusion.cpp.

    pip install stable-diffusion-cpp-python      (in another environment, if you like: --peer-python)
    python benchmarks/image.py --vocabulary bpe_simple_vocab_16e6.txt.gz [--model FOLDER] [--size 256] [--steps 7] [--rounds 3]
        [--threads 2] [--sides aigc,aigc-cache,diffusers,sd.cpp] [--peer-python PATH] [--pictures FOLDER]

One model of Stable Diffusion 1.5's shape, with random weights, is written to --model once, in float32 (4.3 GB; sd15_model.py). Each
side loads it in a process of its own and draws one picture to warm up; then the sides draw in turn, one at a time, on equally many
threads, with the same prompt, seed, noise, guidance and scheduler (Euler). Every round has another prompt.
  aigc         as `aigc image` draws it: its engine, its choice of number format
  aigc-cache   the same with --cache
  diffusers    as its documentation begins: StableDiffusionPipeline.from_pretrained(folder), which is float32, and pipe(prompt)
  sd.cpp       stable-diffusion.cpp, its weights in --sdcpp-type
A step's time is the mean over a picture's steps after the first, for --cache makes every third step dear and those between cheap
(7 steps have as many of each as a long run). A picture's counts encoding, all steps and decoding. Figures are medians over the rounds,
ratios those within a round. The peak is the process's, with the pages of the file that it reads the weights from. CPU: the share
of the threads' time that was used; far below 100%, something else ran too. The pictures are compared with those of diffusers, in 1/255:
what --cache changes with random weights says little of a trained model. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from image_sides import GUIDANCE, OPENERS, Figures, Order

REFERENCE = "diffusers"
PROMPTS = ("a red fox in the snow", "a lighthouse at dusk, oil painting", "雪地里的一只红狐狸", "a bowl of fruit on a wooden table")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aigc-benchmarks/sd15-random"
WARM_UP_STEPS = 2


class Side:
    """A process that has the model loaded and draws when told to."""

    def __init__(self, name: str, args: argparse.Namespace) -> None:
        self.name = name
        python = args.peer_python if name == "sd.cpp" else sys.executable
        command = [python, str(Path(__file__).with_name("image_sides.py")), name, "--model", str(args.model)]
        command += ["--threads", str(args.threads), "--sdcpp-type", args.sdcpp_type]
        environment = os.environ | {"OMP_NUM_THREADS": str(args.threads), "TRANSFORMERS_VERBOSITY": "error"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, encoding="utf-8", env=environment)
        self.facts = self._read()

    def draw(self, order: Order) -> Figures:
        print(json.dumps(asdict(order)), file=self._pipe(self.process.stdin), flush=True)
        return Figures(**self._read())

    def close(self) -> None:
        self._pipe(self.process.stdin).close()
        self.process.wait()

    def _read(self) -> dict[str, Any]:
        line = self._pipe(self.process.stdout).readline()
        if not line:
            raise SystemExit(f"{self.name} ended with status {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    @staticmethod
    def _pipe(stream: IO[str] | None) -> IO[str]:
        assert stream
        return stream


def in_turn(sides: Sequence[Side], args: argparse.Namespace, folder: Path) -> dict[str, list[Figures]]:
    """The figures of each side, round by round, after one that warms up."""
    found: dict[str, list[Figures]] = {side.name: [] for side in sides}
    for number in range(args.rounds + 1):
        for side in sides:
            target = folder / f"{side.name}-{number}.png"
            steps = args.steps if number else WARM_UP_STEPS
            figures = side.draw(Order(PROMPTS[number % len(PROMPTS)], number, args.size, steps, str(target)))
            print(f"  round {number}  {side.name:10} {figures.step:7.2f} s/step {figures.picture:7.2f} s/picture", file=sys.stderr)
            if number:
                found[side.name].append(figures)
    return found


def difference(one: Path, other: Path) -> tuple[float, int, float]:
    """Mean and largest difference of the channels, of 1/255; and how far those of the other spread by themselves."""
    import numpy as np
    from PIL import Image

    first, second = (np.asarray(Image.open(path).convert("RGB"), dtype=np.int16) for path in (one, other))
    apart = np.abs(first - second)
    return float(apart.mean()), int(apart.max()), float(second.std())


def summarise(name: str, found: dict[str, list[Figures]], args: argparse.Namespace, folder: Path) -> dict[str, float]:
    mine = found[name]
    summary: dict[str, float] = {
        "seconds_per_step": statistics.median(figures.step for figures in mine),
        "seconds_per_picture": statistics.median(figures.picture for figures in mine),
        "cpu_share": statistics.median(figures.cpu / figures.picture / args.threads for figures in mine),
        "peak_memory": max(figures.peak_memory for figures in mine),
    }
    if REFERENCE in found:
        rounds = list(zip(mine, found[REFERENCE], strict=True))
        summary["step_ratio"] = statistics.median(other.step / figures.step for figures, other in rounds)
        summary["picture_ratio"] = statistics.median(other.picture / figures.picture for figures, other in rounds)
        apart = [difference(folder / f"{name}-{number}.png", folder / f"{REFERENCE}-{number}.png") for number in range(1, args.rounds + 1)]
        summary["mean_difference"] = statistics.mean(mean for mean, _, _ in apart)
        summary["largest_difference"] = max(largest for _, largest, _ in apart)
        summary["spread"] = statistics.mean(spread for _, _, spread in apart)
    return summary


def table(sides: Sequence[Side], summary: dict[str, dict[str, float]]) -> str:
    """In Markdown."""
    rows = [
        "| side | weights | s/step | times diffusers | s/picture | times diffusers | peak | CPU | difference: mean, most |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for side in sides:
        figures = summary[side.name]
        cells = [side.name, side.facts["dtype"]]
        for kind in ("step", "picture"):
            ratio = figures.get(f"{kind}_ratio")
            cells += [f"{figures[f'seconds_per_{kind}']:.2f}", "" if ratio is None else f"{ratio:.2f}"]
        cells += [f"{figures['peak_memory'] / 2**30:.1f} GiB", f"{figures['cpu_share']:.0%}"]
        is_compared = "mean_difference" in figures and side.name != REFERENCE
        cells += [f"{figures['mean_difference']:.2f}, {figures['largest_difference']:.0f}" if is_compared else ""]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def compare(args: argparse.Namespace, folder: Path) -> None:
    sides = [Side(name, args) for name in args.sides.split(",")]
    found = in_turn(sides, args, folder)
    summary = {side.name: summarise(side.name, found, args, folder) for side in sides}
    known = {name: version for side in reversed(sides) for name, version in side.facts["versions"].items()}  # ours count
    software = ", ".join(f"{name} {version}" for name, version in known.items())
    print(f"{cpu_name()}, {args.threads} threads; Python {platform.python_version()}, {software}")
    print(f"`{' '.join(['python', *sys.argv])}`: {args.size} x {args.size}, {args.steps} steps, guidance {GUIDANCE}, {args.rounds} rounds")
    print(table(sides, summary))
    spread = next((figures["spread"] for figures in summary.values() if "spread" in figures), None)
    if spread is not None:
        print(f"(differences in 1/255; the pictures of {REFERENCE} have a standard deviation of {spread:.0f})")
    print(json.dumps(summary))
    for side in sides:
        side.close()


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=Path, help="CLIP's, needed where --model has yet to be written")
    parser.add_argument("--model", type=Path, default=CACHE)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--sides", default=",".join(OPENERS))
    parser.add_argument("--peer-python", default=sys.executable, help="the Python that has stable-diffusion-cpp-python")
    parser.add_argument("--sdcpp-type", default="f16", help="f32, f16, bf16, q8_0 ...")
    parser.add_argument("--pictures", type=Path, help="keep the pictures there")
    args = parser.parse_args()
    if args.steps < 2:
        parser.error("--steps must be at least 2: the first is not counted")
    if not (args.model / "model_index.json").exists():
        if not args.vocabulary:
            parser.error(f"{args.model} holds no model yet: give --vocabulary, so that it can be written")
        from sd15_model import write_model

        write_model(args.model, args.vocabulary)
    with tempfile.TemporaryDirectory() as folder:
        if args.pictures:
            args.pictures.mkdir(parents=True, exist_ok=True)
        compare(args, args.pictures or Path(folder))


if __name__ == "__main__":
    main()

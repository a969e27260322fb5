"""kill -9 at random moments: a batch of pictures that is begun again ends as an undisturbed one does, and draws none twice."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from tests.backends.image.tiny_pipelines import tiny_pipeline

KILLS = 20
PICTURES = 300
OURS = {"manifest.jsonl", ".images.lock"}
FURTHEST = 6000  # bytes that the manifest grows by before a kill: some twelve pictures

# Libraries are imported once, and each run is a child of the process that has them: that writes nothing, and would take longest.
WARM = """
import json, os, sys
import diffusers, transformers
from diffusers import StableDiffusionPipeline
from transformers import CLIPTextModel, CLIPTokenizer
import aigc_cli.backends.image.engine, aigc_cli.commands.image_run
from aigc_cli.__main__ import entry
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        sys.argv[1:] = json.loads(line)
        sys.stdin = open(os.devnull)
        os.dup2(2, 1)
        entry()
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Runs:
    """Starts runs one after the other."""

    def __init__(self, log: Path) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
        self.log = log
        self.process = subprocess.Popen(
            [sys.executable, "-c", WARM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log.open("ab"), env=environment, text=True
        )

    def start(self, *args: str | Path) -> int:
        """Its process id."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(["image", *map(str, args)]) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def finish(self) -> int:
        """The exit status of the one that was started last; below zero the signal that ended it."""
        return self._answer()

    def _answer(self) -> int:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, self.log.read_text("utf-8", "replace")[-4000:]
        return int(line)


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    runs = Runs(tmp_path / "runs.log")
    yield runs
    runs.process.kill()
    runs.process.communicate()


def write_prompts(path: Path) -> Path:
    """Rows for 300 pictures, Chinese ones among them, of three sizes, every fifth of two pictures."""
    rows, left = ["prompt,width,height,n"], PICTURES
    while left:
        number = len(rows)
        count = min(left, 2 if number % 5 == 0 else 1)
        width, height = ((64, 64), (72, 64), (64, 72))[number % 3]
        rows.append(f"{'第' if number % 2 else 'fox '}{number}只狐狸,{width},{height},{count}")
        left -= count
    path.write_text("\n".join(rows) + "\n", "utf-8")
    return path


def kill_at_a_random_moment(child: int, manifest: Path, is_over: Callable[[], bool], chance: random.Random) -> None:
    """One in five while it starts, the others once it draws: so many manifest lines later, and then a little.

    None goes further than some dozen pictures, however fast the machine: the run outlasts the twenty.
    """
    size = size_of(manifest)
    if chance.random() < 0.2:
        wait_until(lambda: size_of(manifest) > size or is_over(), seconds=chance.uniform(0.0, 1.5))
    else:
        grown = size + chance.uniform(1.0, FURTHEST)
        wait_until(lambda: size_of(manifest) >= grown or is_over())
        time.sleep(chance.uniform(0.0, 0.1))
    if not is_over():
        os.kill(child, 9)


def wait_until(condition: Callable[[], bool], *, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def has_ended(child: int) -> bool:
    """Whether it is a zombie, or gone; it is waited for elsewhere."""
    try:
        return Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks Linux how processes are")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_twenty_kills(dtype: str, runs: Runs, tmp_path: Path) -> None:
    model, prompts = tmp_path / "model", write_prompts(tmp_path / "商品.csv")
    tiny_pipeline("sd").save_pretrained(model)
    options = ("--prompts", prompts, "-m", model, "--seed", "7", "--steps", "2", "--batch-size", "4", "--device", "cpu", "--dtype", dtype)
    whole, mine = tmp_path / "whole", tmp_path / "mine"
    runs.start(*options, "-o", whole)
    assert runs.finish() == 0
    chance, ends = random.Random(3), []
    for _ in range(KILLS):
        child = runs.start(*options, "-o", mine)
        kill_at_a_random_moment(child, mine / "manifest.jsonl", partial(has_ended, child), chance)
        ends.append(runs.finish())
    assert ends == [-9] * KILLS, runs.log.read_text("utf-8", "replace")[-4000:]
    assert len(pictures(mine)) < PICTURES
    runs.start(*options, "-o", mine)
    assert runs.finish() == 0
    assert len(pictures(mine)) == PICTURES
    assert pictures(mine) == pictures(whole)
    check_manifest(mine)


def pictures(folder: Path) -> dict[str, bytes]:
    """The files, byte for byte, by their names. Each can be opened to its last pixel."""
    found = {}
    for path in folder.glob("*.png"):
        with Image.open(path) as picture:
            picture.load()
        found[path.name] = path.read_bytes()
    return found


def check_manifest(folder: Path) -> None:
    """Each picture stands in it, once as what counts, and nothing else lies in the folder."""
    records = [json.loads(line) for line in (folder / "manifest.jsonl").read_text("utf-8").split("\n")[:-1]]
    latest = {record["key"]: record for record in records}
    assert {record["status"] for record in records} == {"done"}
    assert sorted(record["index"] for record in latest.values()) == list(range(PICTURES))
    files = Counter(record["file"] for record in latest.values())
    assert set(files.values()) == {1}
    assert {path.name for path in folder.iterdir()} - OURS == set(files)

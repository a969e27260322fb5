"""Memory that runs out, pictures that fail, runs that are stopped, and a reader of stdout that goes away."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aigc_cli.core.errors import AigcError, OutOfMemoryError
from aigc_cli.signals import Terminated
from tests.commands.imaging import OUT, TEN, draw, drawn, names, pixels, records, write
from tests.conftest import Result
from tests.fake_image import FakeImageEngine

Run = Callable[..., Result]
Fake = type[FakeImageEngine]


def sizes() -> list[int]:
    return [len(batch) for batch in drawn()]


def test_out_of_memory_halves_the_batch_for_good(run: Run, fake_image: Fake) -> None:
    prompts = write("猫.txt", TEN)
    draw("--prompts", prompts, "--seed", 7, "-o", "whole")
    drawn()
    fake_image.fits = 2
    result = draw("--prompts", prompts, "--seed", 7)
    assert sizes() == [4, 2, 2, 2, 2, 2]
    assert result.stderr.count("out of memory") == 1
    assert "out of memory with 4 pictures at once: from here on 2" in result.stderr
    assert pixels() == pixels(Path("whole"))


def test_it_halves_until_it_fits(fake_image: Fake) -> None:
    fake_image.size, fake_image.fits = 7, 1
    result = draw("--prompts", write("猫.txt", TEN), "--seed", 7)
    assert sizes() == [7, 4, 2, *[1] * 10]
    assert "out of memory with 2 pictures at once: from here on 1" in result.stderr
    assert len(names()) == 10


def test_another_kind_has_a_limit_of_its_own(fake_image: Fake) -> None:
    fake_image.fits = 2
    rows = [{"prompt": f"{number}", "width": 64 if number < 8 else 72} for number in range(16)]
    draw("--prompts", write("rows.jsonl", rows), "--seed", 7)
    assert sizes() == [4, 2, 2, 2, 2, 4, 2, 2, 2, 2]


def test_then_measures_are_taken_and_told(fake_image: Fake) -> None:
    fake_image.fits, fake_image.measures[:] = -1, ["pictures are now decoded in tiles", "parts of the model wait in main memory"]
    result = draw("--prompts", write("猫.txt", "猫\n狗\n"), "--seed", 7)
    assert sizes() == [2, 1, 1, 1, 1]
    order = [
        result.stderr.index(words)
        for words in ("with 2 pictures at once", "out of memory: pictures are now decoded in tiles", "out of memory: parts of the model")
    ]
    assert order == sorted(order)
    assert len(names()) == 2


def test_what_does_not_fit_at_all_fails_and_the_others_go_on(run: Run, fake_image: Fake) -> None:
    fake_image.broken["第1只 cat"] = OutOfMemoryError("out of memory", "try a smaller picture")
    result = run("image", "--prompts", write("猫.txt", TEN), "--seed", 7)
    assert (result.status, len(names())) == (5, 9)
    assert "picture 2 (猫.txt:2) could not be drawn: out of memory\n      try a smaller picture" in result.stderr
    assert [record["message"] for record in records() if record["status"] == "failed"] == ["out of memory"]


def test_one_picture_that_does_not_fit(run: Run, fake_image: Fake) -> None:
    fake_image.fits = 0
    result = run("image", "fox", "--seed", 7)
    assert (result.status, fake_image.closed) == (4, 1)
    assert result.stderr == "aigc: out of memory\n      try a smaller picture\n"
    assert [event["event"] for event in run("image", "fox", "--seed", 7, "--json").events][-1] == "error"


def test_prompts_that_do_not_fit(run: Run, fake_image: Fake) -> None:
    fake_image.fits_encoded, fake_image.measures[:] = False, ["each part of the model is on the GPU only while it is used"]
    result = draw("fox", "--seed", 7)
    assert "out of memory: each part of the model" in result.stderr
    fake_image.fits_encoded = False
    assert run("image", "fox", "--seed", 8).status == 4


def test_one_that_fails_among_others_costs_none_of_them(run: Run, fake_image: Fake) -> None:
    fake_image.broken |= {f"第{number}只 cat": AigcError("the model stumbled", "try another") for number in (1, 6)}
    result = run("image", "--prompts", write("猫.txt", TEN), "--seed", 7)
    assert (result.status, len(names())) == (5, 8)
    assert sizes() == [4, 2, 1, 1, 2, 4, 2, 2, 1, 1, 2]
    assert "from here on" not in result.stderr


def test_a_recipe_that_a_file_has_no_room_for_costs_none_of_the_others(run: Run, fake_image: Fake) -> None:
    rows = [{"prompt": "狐狸 " * 20_000}, {"prompt": "cat"}]
    result = run("image", "--prompts", write("rows.jsonl", rows), "--seed", 7, "--format", "jpeg")
    assert (result.status, names()) == (5, ["0002-cat-8.jpg"])
    assert "could not be drawn: a JPEG has no room for so long a recipe" in result.stderr


def test_one_picture_that_fails_is_told_once(run: Run, fake_image: Fake) -> None:
    fake_image.broken["fox"] = AigcError("the model stumbled", "try another")
    result = run("image", "fox", "--seed", 7)
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr == "aigc: the model stumbled\n      try another\n"


def test_a_bug_in_the_engine_ends_the_run_and_keeps_what_is_done(run: Run, fake_image: Fake) -> None:
    fake_image.broken["第5只 cat"] = RuntimeError("no idea")
    result = run("image", "--prompts", write("猫.txt", TEN), "--seed", 7)
    assert (result.status, len(names()), fake_image.closed) == (1, 4, 1)
    assert "RuntimeError: no idea" in result.stderr


@pytest.mark.parametrize(("stop", "status"), [(KeyboardInterrupt(), 130), (Terminated(), 143)])
def test_a_run_that_is_stopped_keeps_what_is_done_and_says_how_to_go_on(
    stop: BaseException, status: int, run: Run, fake_image: Fake
) -> None:
    fake_image.stop = (6, stop)
    result = run("image", "a {cat|dog|狐狸}", "-n", 4)
    assert (result.status, fake_image.closed) == (status, 1)
    seed = records()[0]["seed"]
    assert f"4 of 12 pictures are done; the same command with --seed {seed} goes on" in result.stderr
    assert not list(OUT.glob("*.part"))
    fake_image.stop = None
    drawn()
    draw("a {cat|dog|狐狸}", "-n", 4, "--seed", seed)
    assert sizes() == [4, 4]


def test_a_run_that_is_stopped_before_its_first_picture_leaves_nothing(run: Run, fake_image: Fake) -> None:
    fake_image.stop = (2, KeyboardInterrupt())
    result = run("image", "fox")
    assert (result.status, result.stdout, OUT.exists()) == (130, "", False)
    fake_image.steps_done = 0
    assert run("image", "fox", "--json").events[-1] == {"event": "error", "t": 0.0, "message": "interrupted", "hint": "", "status": 130}


ALONE = """
import os, signal, sys
from pathlib import Path
import pytest
from tests.fake_image import FakeImageEngine, install
patch = pytest.MonkeyPatch()
install(patch, Path("model"))
if len(sys.argv) > 1 and sys.argv[1].startswith("signal:"):
    _, number, place = sys.argv.pop(1).split(":")
    real = getattr(FakeImageEngine, place)
    def struck(*args):
        if place == "__init__" or len(FakeImageEngine.batches) == 2:
            os.kill(os.getpid(), int(number))
        return real(*args)
    setattr(FakeImageEngine, place, struck)
from aigc_cli.__main__ import entry
entry()
"""


def alone(*args: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    """The command as a process of its own, with the scripted engine.

    "signal:2:METHOD" sends it that signal when it calls the engine's method, of `stream` the third time.
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        [sys.executable, "-c", ALONE, *args], stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE, env=environment
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_real_signal(number: signal.Signals, status: int) -> None:
    process = alone(f"signal:{number:d}:stream", "image", "--prompts", str(write("猫.txt", TEN)), "--seed", "7")
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == status, stderr.decode()
    assert len(stdout.splitlines()) == len(names()) == 8
    assert "8 of 10 pictures are done; the same command with --seed 7 goes on" in stderr.decode()
    assert b"Traceback" not in stderr


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_signal_while_the_model_is_loaded() -> None:
    process = alone(f"signal:{signal.SIGINT:d}:__init__", "image", "fox", "-o", "new/也新")
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, Path("new").exists()) == (130, False)
    assert re.search(r"nothing was saved; with --seed \d+ the same command draws the same\n", stderr.decode())


def test_an_error_while_the_model_is_loaded(run: Run, fake_image: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise OutOfMemoryError("out of memory", "try a smaller model")

    monkeypatch.setattr(FakeImageEngine, "__init__", fail)
    result = run("image", "fox", "-o", "new/也新")
    assert (result.status, Path("new").exists()) == (4, False)
    assert "nothing was saved" not in result.stderr  # the same command would only meet the same error


def test_a_reader_that_goes_away() -> None:
    reader, writer = os.pipe()
    process = alone("image", "--prompts", str(write("猫.txt", TEN)), "--seed", "7", stdout=writer)
    os.close(writer)
    os.close(reader)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 141, stderr.decode()
    assert b"Traceback" not in stderr
    assert names() == ["0001-第0只-cat-7.png"]  # which is saved before it is told


def test_a_try_that_fails_undoes_nothing(run: Run, fake_image: Fake) -> None:
    """A batch of which two were saved is drawn again as a whole, and fails."""
    prompts = write("猫.txt", "".join(TEN.splitlines(keepends=True)[:4]))
    draw("--prompts", prompts, "--seed", 7)
    kept = [record["file"] for record in records()][:2]
    for record in records()[2:]:
        (OUT / record["file"]).unlink()
    for number in range(4):
        fake_image.broken[f"第{number}只 cat"] = AigcError("the model stumbled", "")
    result = run("image", "--prompts", prompts, "--seed", 7)
    assert (result.status, "2 of 4 pictures could not be drawn" in result.stderr) == (5, True)
    fake_image.broken.clear()
    drawn()
    assert "4 pictures, 2 of them there already" in draw("--prompts", prompts, "--seed", 7).stderr
    assert sorted(names()) == sorted(record["file"] for record in records()[:4])
    assert set(kept) <= set(names())

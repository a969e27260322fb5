"""Whatever happens, the newest checkpoint that was whole is there, and the best one."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aigc_cli.core.errors import AigcError
from aigc_cli.store.checkpoints import best, listed, newest, order, prune, publish, remove, remove_leftovers

EachKill = Callable[[Callable[[], Any], Callable[[], Any]], Iterator[int]]


def save(folder: Path, step: int, *, is_best: bool = False, text: str = "") -> Path:
    def write(into: Path) -> None:
        (into / "weights.bin").write_bytes(f"权重 {step} {text}".encode() * 100)
        (into / "optimizer").mkdir()
        (into / "optimizer" / "state.bin").write_bytes(bytes(range(256)))

    return publish(folder, step, best=is_best, write=write, info={"loss": 1 / step, "shape": (1, 2), "编号": {10: "a", 9: "b"}})


def steps(folder: Path) -> list[int]:
    return [found.step for found in [newest(folder)] if found]


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_the_newest_and_the_best_are_found_again(tmp_path: Path) -> None:
    assert newest(tmp_path) is None
    assert best(tmp_path / "nowhere") is None
    save(tmp_path, 10, is_best=True)
    path = save(tmp_path, 20)
    found = newest(tmp_path)
    assert found is not None
    assert (found.step, found.best, found.path, found.passed_over) == (20, False, path, ())
    assert found.info["loss"] == 0.05
    assert found.size == sum((path / name).stat().st_size for name in ("weights.bin", "optimizer/state.bin"))
    the_best = best(tmp_path)
    assert the_best is not None
    assert (the_best.step, the_best.path.name) == (10, "step-00000010")


def test_a_flipped_bit_anywhere_is_found(tmp_path: Path) -> None:
    save(tmp_path, 10)
    path = save(tmp_path, 20)
    for file in [path / "weights.bin", path / "optimizer" / "state.bin", path / "manifest.json"]:
        whole = file.read_bytes()
        for at in random.Random(0).sample(range(len(whole)), 40):
            damaged = bytearray(whole)
            damaged[at] ^= 1 << (at % 8)
            file.write_bytes(damaged)
            found = newest(tmp_path)
            assert found is not None
            if found.step == 20:  # a space that became another
                assert file.name == "manifest.json"
                assert bytes([damaged[at]]).isspace()
            else:
                assert [(where, file.name in flaw) for where, flaw in found.passed_over] == [(path, True)]
        file.write_bytes(whole)
    assert steps(tmp_path) == [20]


@pytest.mark.parametrize(
    ("damage", "flaw"),
    [
        (lambda path: (path / "weights.bin").unlink(), "weights.bin is missing"),
        (lambda path: (path / "manifest.json").unlink(), "manifest.json is missing"),
        (lambda path: os.truncate(path / "weights.bin", 7), "weights.bin has 7 bytes"),
        (lambda path: os.truncate(path / "manifest.json", 40), "manifest.json is damaged"),
        (lambda path: (path / "manifest.json").write_text("[]"), "manifest.json is damaged"),
    ],
)
def test_a_torn_one_is_passed_over_and_named(tmp_path: Path, damage: Callable[[Path], Any], flaw: str) -> None:
    save(tmp_path, 10)
    path = save(tmp_path, 20)
    damage(path)
    found = newest(tmp_path)
    assert found is not None
    assert found.step == 10
    assert found.passed_over[0][0] == path
    assert flaw in found.passed_over[0][1]


def test_when_all_are_damaged_that_is_said(tmp_path: Path) -> None:
    for step in (10, 20):
        (save(tmp_path, step) / "weights.bin").write_bytes(b"")
    with pytest.raises(AigcError, match=r"can be used: step-00000020 \(weights.bin has 0 bytes.*step-00000010"):
        newest(tmp_path)


def test_a_damaged_one_goes_when_training_has_gone_on_without_it(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        save(tmp_path, step, is_best=step != 20)
    (tmp_path / "step-00000030" / "weights.bin").write_bytes(b"x" * (tmp_path / "step-00000030" / "weights.bin").stat().st_size)
    save(tmp_path, 25)
    prune(tmp_path, keep=1)
    assert [path.name for path in listed(tmp_path)] == ["step-00000025", "step-00000010"]


def test_a_best_one_that_is_damaged_is_not_taken(tmp_path: Path) -> None:
    path = save(tmp_path, 10, is_best=True)
    save(tmp_path, 20)
    (path / "weights.bin").write_bytes(b"")
    assert best(tmp_path) is None
    assert steps(tmp_path) == [20]


def test_pruning_keeps_the_newest_and_the_best(tmp_path: Path) -> None:
    for step in (10, 20, 30, 40, 50):
        save(tmp_path, step, is_best=step in (10, 20))
    removed = prune(tmp_path, keep=2)
    assert [path.name for path in removed] == ["step-00000030", "step-00000010"]
    assert [path.name for path in listed(tmp_path)] == ["step-00000050", "step-00000040", "step-00000020"]
    assert hidden(tmp_path) == []


def test_a_damaged_one_does_not_push_out_a_whole_one(tmp_path: Path) -> None:
    for step in (10, 20, 30):
        save(tmp_path, step, is_best=step == 30)
    (tmp_path / "step-00000030" / "weights.bin").write_bytes(b"")
    assert prune(tmp_path, keep=2) == []
    remove(tmp_path / "step-00000030")
    assert [path.name for path in listed(tmp_path)] == ["step-00000020", "step-00000010"]


def test_a_step_saved_again_replaces_the_first_and_stays_the_best(tmp_path: Path) -> None:
    save(tmp_path, 10)
    save(tmp_path, 20, is_best=True, text="first")
    path = save(tmp_path, 20, text="second")
    found = best(tmp_path)
    assert found is not None
    assert (found.step, found.path) == (20, path)
    assert b"second" in (found.path / "weights.bin").read_bytes()
    assert [path.name for path in listed(tmp_path)] == ["step-00000020.2", "step-00000010"]
    assert save(tmp_path, 20).name == "step-00000020.3"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.parametrize(
    ("step", "is_best", "left"), [(30, False, [30, 10]), (30, True, [30, 20]), (20, False, [20, 10]), (20, True, [20, 15])]
)
def test_a_kill_between_any_two_operations_loses_nothing(
    tmp_path: Path, each_kill: EachKill, step: int, is_best: bool, left: list[int]
) -> None:
    folder, before = tmp_path / "checkpoints", tmp_path / "before"
    for earlier in (10, 15, 20):
        save(before, earlier, is_best=earlier == 10)

    def prepare() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(before, folder)

    def work() -> None:
        save(folder, step, is_best=is_best)
        prune(folder, 1)

    k = 0
    for k in each_kill(prepare, work):  # noqa: B007
        for _ in range(2):
            newest_found, best_found = newest(folder), best(folder)
            assert newest_found is not None
            assert best_found is not None
            assert newest_found.step in (20, step)
            assert newest_found.passed_over == best_found.passed_over == ()
            assert best_found.step == (newest_found.step if newest_found.best else 10)
            remove_leftovers(folder)
            assert hidden(folder) == []
    assert k > 25
    assert [int(path.name[5:13]) for path in listed(folder)] == left


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_kill_9_at_random_moments(tmp_path: Path) -> None:
    chance = random.Random(1)
    reached = 0
    for _ in range(20):
        if (child := os.fork()) == 0:
            os.fsync = lambda descriptor: None  # a kill loses nothing that was written
            for step in range(reached + 1, reached + 10_000):
                save(tmp_path, step, is_best=step % 7 == 0)
                prune(tmp_path, 2)
        deadline = time.monotonic() + 60
        while max((order(path)[0] for path in listed(tmp_path)), default=0) <= reached:  # however busy the machine is
            assert time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(chance.random() / 30)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        found, the_best = newest(tmp_path), best(tmp_path)
        last = found.step if found else 0
        assert last > reached
        assert not (found and found.passed_over)
        assert (the_best.step if the_best else 0) == last // 7 * 7
        reached = last
        if chance.random() < 0.5:
            remove_leftovers(tmp_path)


def test_what_fails_while_writing_leaves_nothing(tmp_path: Path) -> None:
    save(tmp_path, 10)

    def write(into: Path) -> None:
        (into / "weights.bin").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(tmp_path, 20, best=True, write=write, info={})
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000010"]


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), OSError(errno.EDQUOT, "Quota exceeded"), RuntimeError("No space left on device")],
)
def test_a_full_disk_is_said_with_figures(tmp_path: Path, error: Exception) -> None:
    def write(into: Path) -> None:
        (into / "weights.bin").write_bytes(b"0" * 3 * 2**20)
        raise error

    with pytest.raises(AigcError, match=r"step 20: it needs more than 3.0 MiB, .* are free in .*; there is none before it"):
        publish(tmp_path, 20, best=False, write=write, info={})
    save(tmp_path, 10)
    with pytest.raises(AigcError, match="the checkpoint of step 10 is whole") as caught:
        publish(tmp_path, 20, best=False, write=write, info={})
    assert "--resume" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000010"]


def test_another_error_is_not_taken_for_a_full_disk(tmp_path: Path) -> None:
    def write(into: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(into))

    with pytest.raises(PermissionError):
        publish(tmp_path, 20, best=False, write=write, info={})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("library", ["plain", "torch", "safetensors"])
def test_a_disk_that_is_really_full(tiny_disk: Path, library: str) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    tensors = {"weights": torch.zeros(500_000)}  # 2 MB
    ways: dict[str, Callable[[Path], Any]] = {
        "plain": lambda into: (into / "w").write_bytes(b"0" * 2_000_000),
        "torch": lambda into: torch.save(tensors, into / "w"),
        "safetensors": lambda into: save_file(tensors, into / "w"),
    }
    save(tiny_disk, 10)
    with pytest.raises(AigcError, match=r"no room for the checkpoint of step 20.* are free in .*; the checkpoint of step 10 is whole"):
        publish(tiny_disk, 20, best=False, write=ways[library], info={})
    assert [path.name for path in tiny_disk.iterdir()] == ["step-00000010"]
    assert steps(tiny_disk) == [10]

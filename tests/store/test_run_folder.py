"""One run, one folder: who gets it, who does not, and what is removed."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aigc_cli.core.errors import AigcError, BusyError, ExitStatus, UsageError
from aigc_cli.core.events import TrainStep
from aigc_cli.core.finetune import DataChoice, Tuning
from aigc_cli.store.checkpoints import publish
from aigc_cli.store.event_log import logged
from aigc_cli.store.run_folder import RunFolder, begin, claim, install, make_way, remove_replaced, withdraw
from aigc_cli.store.run_record import read_record, set_status
from tests.store.records import REQUEST, record

EachKill = Callable[[Callable[[], Any], Callable[[], Any]], Iterator[int]]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_result(into: Path) -> None:
    (into / "adapter_model.safetensors").write_bytes(b"weights")
    (into / "tokenizer.json").write_text("{}")


def make_run(folder: Path, *, complete: bool = False) -> None:
    """A run that has done 120 of 300 steps."""
    with claim(folder) as run:
        begin(run, record())
        step = TrainStep(
            step=120, steps=300, epoch=1.0, loss=2.0, learning_rate=1e-4, grad_norm=1.0, samples=8, tokens=10, tokens_per_second=1.0
        )
        list(logged([step], run.log))
        publish(run.checkpoints, 120, best=True, write=lambda into: None, info={})
        if complete:
            install(run, write_result)
            set_status(run.path, "complete")


def test_a_new_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    with claim(tmp_path / "运行" / "mine") as run:
        begin(run, record())
    assert names(run.path) == [".lock", "run.json"]
    assert read_record(run.path) == record()


def test_a_start_that_comes_to_nothing_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        with pytest.raises(UsageError, match="bad data"), claim(tmp_path / name):
            raise UsageError("bad data")
    assert names(tmp_path) == ["empty"]
    assert names(tmp_path / "empty") == []


def test_rejected_rows_outlive_such_a_start(tmp_path: Path) -> None:
    with claim(tmp_path / "mine") as run:
        run.rejects.write_text("{}")
    assert names(run.path) == [".lock", "rejects.jsonl"]
    with claim(run.path) as run:
        begin(run, record())
    assert "rejects.jsonl" in names(run.path)


def test_a_file_and_a_folder_with_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "thesis").mkdir()
    thesis = tmp_path / "thesis"
    (thesis / "data").mkdir()
    (thesis / "论文.md").write_text("mine")
    with pytest.raises(UsageError, match="is a file, not a folder"), claim(tmp_path / "file"):
        pass
    for overwrite in (False, True):
        with pytest.raises(UsageError, match=r"holds files that are not of a run: data, 论文.md"), claim(thesis, overwrite=overwrite):
            pass
    assert names(thesis) == ["data", "论文.md"]
    with pytest.raises(UsageError, match="cannot be written: not a directory"), claim(tmp_path / "file" / "mine"):
        pass


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    for path in (tmp_path, tmp_path / "mine"):
        with pytest.raises(UsageError, match="cannot be written: permission denied"), claim(path):
            pass


def test_a_read_only_disk_is_refused(tiny_disk: Path) -> None:
    (tiny_disk / "empty").mkdir()
    os.system(f"mount -o remount,ro '{tiny_disk}'")
    for path in (tiny_disk / "mine", tiny_disk / "empty"):
        with pytest.raises(UsageError, match="cannot be written: read-only file system"), claim(path):
            pass


@pytest.mark.parametrize(("complete", "message"), [(False, "holds a run that stopped at step 120 of 300"), (True, "holds a finished run")])
def test_an_earlier_run_is_not_touched_unasked(tmp_path: Path, complete: bool, message: str) -> None:
    make_run(tmp_path / "mine", complete=complete)
    before = names(tmp_path / "mine")
    with pytest.raises(UsageError, match=message) as caught, claim(tmp_path / "mine"):
        pass
    assert "--overwrite" in caught.value.hint
    assert names(tmp_path / "mine") == before


def test_how_far_an_earlier_run_came_with_a_part_that_comes_before(tmp_path: Path) -> None:
    make_run(tmp_path / "mine")
    run = RunFolder(tmp_path / "mine")
    shutil.rmtree(run.checkpoints)
    step = {"event": "train_step", "step": 40, "steps": 400, "split": "autoencoder"}
    lines = [step, {"event": "checkpoint", "step": 40, "split": "autoencoder"}]
    run.log.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    with pytest.raises(UsageError, match="holds a run that stopped at step 40 of 400 of its autoencoder"), claim(tmp_path / "mine"):
        pass


def test_a_resume_wants_a_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no run in .* to resume"), claim(tmp_path / "mine", resume=True):
        pass
    assert names(tmp_path) == []
    make_run(tmp_path / "mine")
    with claim(tmp_path / "mine", resume=True) as run:
        assert read_record(run.path).request == REQUEST
    with pytest.raises(UsageError, match="contradict"), claim(tmp_path / "mine", resume=True, overwrite=True):
        pass


def test_a_start_that_was_killed_early_can_be_made_again(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / "data").mkdir()
    with pytest.raises(UsageError, match="ended before it began"), claim(tmp_path, resume=True):
        pass
    with claim(tmp_path) as run:
        begin(run, record())


def test_leftovers_of_a_killed_run_go_when_the_next_one_starts(tmp_path: Path) -> None:
    make_run(tmp_path)
    for name in ("checkpoints/.step-00000130.tmp-1f0c", "checkpoints/.step-00000110.removed-1f0c", ".result.tmp-00", ".removed-00"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / ".run.json-x1y2").touch()
    with claim(tmp_path, resume=True) as run:
        assert names(run.checkpoints) == ["step-00000120"]
        assert names(run.path) == [".holder", ".lock", "checkpoints", "log.jsonl", "run.json"]


def contents(folder: Path) -> dict[str, bytes]:
    """Of all files but hidden ones."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name[0] != "."}


def test_overwrite_removes_what_the_run_made_and_only_that(tmp_path: Path) -> None:
    make_run(tmp_path, complete=True)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "README.md").write_text("the model card")
    with claim(tmp_path, overwrite=True) as run:
        assert "adapter_model.safetensors" in names(tmp_path)  # the data are still to be checked
        begin(run, record(created="today"))
        assert names(tmp_path) == [".holder", ".lock", ".replaced", "notes.txt", "run.json"]
        remove_replaced(run)
    assert names(tmp_path) == [".lock", "notes.txt", "run.json"]
    assert read_record(tmp_path).created == "today"


def test_a_run_cannot_remove_what_it_reads(tmp_path: Path) -> None:
    make_run(tmp_path, complete=True)
    for request in (
        dataclasses.replace(REQUEST, model=str(tmp_path)),
        dataclasses.replace(REQUEST, tuning=Tuning(continue_from=str(tmp_path))),
        dataclasses.replace(REQUEST, data=DataChoice(paths=(str(tmp_path / "log.jsonl"),))),
    ):
        with pytest.raises(UsageError, match="this run reads"), claim(tmp_path, overwrite=True) as run:
            begin(run, record(request=request))
    assert "adapter_model.safetensors" in names(tmp_path)


def test_what_came_from_stdin_survives_the_overwriting_run_that_read_it(tmp_path: Path) -> None:
    make_run(tmp_path)
    with claim(tmp_path, overwrite=True) as run:
        (tmp_path / "stdin.jsonl").write_text('{"text": "新"}')
        begin(run, record(request=dataclasses.replace(REQUEST, data=DataChoice(paths=("-",)))))
        remove_replaced(run)
    assert names(tmp_path) == [".lock", "run.json", "stdin.jsonl"]
    with claim(tmp_path, overwrite=True) as run:
        begin(run, record())
        remove_replaced(run)
    assert names(tmp_path) == [".lock", "run.json"]


def test_a_run_that_is_not_to_be_replaced_is_not(tmp_path: Path) -> None:
    make_run(tmp_path)
    with claim(tmp_path, resume=True) as run, pytest.raises(ValueError, match="not claimed for overwriting"):
        begin(run, record())


def test_a_broken_record_is_neither_resumed_nor_overwritten(tmp_path: Path) -> None:
    make_run(tmp_path)
    (tmp_path / "run.json").write_text("{")
    for choice in ({}, {"resume": True}, {"overwrite": True}):
        with pytest.raises(AigcError, match=r"run.json is broken"), claim(tmp_path, **choice):
            pass


def test_a_result_is_whole_or_not_there(tmp_path: Path, each_kill: EachKill) -> None:
    with claim(tmp_path) as run:
        begin(run, record())

    def prepare() -> None:
        for path in tmp_path.iterdir():
            if path.name not in (".lock", "run.json"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    k = 0
    for k in each_kill(prepare, lambda: install(run, write_result)):  # noqa: B007
        for name, content in (("adapter_model.safetensors", b"weights"), ("tokenizer.json", b"{}")):
            if (tmp_path / name).exists():
                assert (tmp_path / name).read_bytes() == content
                assert name in read_record(tmp_path).made
    assert k > 10
    assert names(tmp_path) == [".lock", "adapter_model.safetensors", "run.json", "tokenizer.json"]


def from_stdin(run: RunFolder) -> None:
    """Begins a run on rows that came from there, of another kind than those of the run before."""
    make_way(run, ["stdin.jsonl", "rejects.jsonl"])
    (run.path / "stdin.csv").write_text("text\nnew\n")
    begin(run, record(created="today", request=dataclasses.replace(REQUEST, data=DataChoice(paths=("-",)))))


@pytest.fixture
def again(tmp_path: Path) -> Callable[[], Path]:
    """Makes the folder of a finished run on rows from stdin, each time as it was."""
    before, folder = tmp_path / "before", tmp_path / "mine"
    make_run(before, complete=True)
    for name in ("stdin.jsonl", "rejects.jsonl"):
        (before / name).write_text(name)

    def prepare() -> Path:
        shutil.rmtree(folder, ignore_errors=True)
        return Path(shutil.copytree(before, folder))

    return prepare


def test_a_kill_while_overwriting_loses_neither_run(again: Callable[[], Path], each_kill: EachKill) -> None:
    folder = again()
    before = contents(folder)

    def overwrite() -> None:
        with claim(folder, overwrite=True) as run:
            from_stdin(run)
            remove_replaced(run)

    seen = set()
    for _ in each_kill(again, overwrite):
        with pytest.raises(UsageError, match=r"holds a (finished run|run that stopped)") as caught, claim(folder):
            pass
        seen.add("the one before it is kept in" in caught.value.message)
        if "finished" in caught.value.message:
            assert contents(folder) == before, names(folder)
        elif "kept in" in caught.value.message:
            assert contents(folder / ".replaced") == before
            assert names(folder) == [".lock", ".replaced", "run.json", "stdin.csv"]
        overwrite()
        assert names(folder) == [".lock", "run.json", "stdin.csv"]
        assert read_record(folder).created == "today"
    assert seen == {True, False}


def test_a_kill_while_a_refused_run_is_withdrawn_loses_nothing(again: Callable[[], Path], each_kill: EachKill) -> None:
    folder = again()
    before = contents(folder)

    def refused() -> None:
        with claim(folder, overwrite=True) as run:
            from_stdin(run)
            (run.data / "train").mkdir(parents=True)
            withdraw(run)

    for _ in each_kill(again, refused):
        refused()
        assert contents(folder) == before


def test_data_that_are_refused_leave_the_earlier_run_as_it_was(again: Callable[[], Path]) -> None:
    folder = again()
    before = contents(folder)

    def check(run: RunFolder) -> None:
        make_way(run, ["stdin.jsonl", "rejects.jsonl"])
        (folder / "stdin.csv").touch()
        raise UsageError("bad data")

    with pytest.raises(UsageError, match="bad data"), claim(folder, overwrite=True) as run:
        check(run)
    assert contents(folder) == before


def test_a_run_that_was_to_replace_another_is_gone_on_with_or_replaced_itself(again: Callable[[], Path]) -> None:
    folder = again()
    before = contents(folder)
    with claim(folder, overwrite=True) as run:
        from_stdin(run)
    with claim(folder, resume=True) as run:
        assert contents(run.replaced) == before
    with pytest.raises(UsageError, match="bad data"), claim(folder, overwrite=True):
        raise UsageError("bad data")
    assert contents(folder) == before


def test_no_room_for_the_result(tiny_disk: Path) -> None:
    with claim(tiny_disk / "mine") as run:
        begin(run, record())
        with pytest.raises(AigcError, match=r"no room for the result: it needs more than .* are free in .*mine; the checkpoints are whole"):
            install(run, lambda into: (into / "model.safetensors").write_bytes(b"0" * 2_000_000) and None)
    assert names(run.path) == [".lock", "run.json"]


HOLD = """
import sys, time
from pathlib import Path
from aigc_cli.store.run_folder import claim
with claim(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds tmp_path/mine."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "mine")], stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("choice", [{}, {"resume": True}, {"overwrite": True}])
def test_a_second_process_is_told_who_holds_the_folder(tmp_path: Path, holder: subprocess.Popen[bytes], choice: dict[str, bool]) -> None:
    message = rf"another run holds .*mine \(process {holder.pid}\)"
    with pytest.raises(BusyError, match=message) as caught, claim(tmp_path / "mine", **choice):
        pass
    assert caught.value.status == ExitStatus.BUSY == 75


def test_a_holder_that_was_killed_holds_nothing(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait(timeout=30)
    assert names(tmp_path / "mine") == [".holder", ".lock"]
    with claim(tmp_path / "mine") as run:
        begin(run, record())
    assert names(run.path) == [".lock", "run.json"]


def test_one_process_cannot_claim_a_folder_twice(tmp_path: Path) -> None:
    with claim(tmp_path / "mine") as run:
        begin(run, record())
        with pytest.raises(BusyError), claim(run.path, resume=True):
            pass
    with claim(run.path, resume=True):
        pass

"""By the manifest a later run knows what is done, whatever became of the run that wrote it."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aigc_cli.batch.found import find_done
from aigc_cli.batch.manifest import NAME, Record, append, drawn, earlier_seed, failed, read_records
from aigc_cli.batch.output_folder import hold_output, save
from aigc_cli.batch.plan import Common, Item, plan_items
from aigc_cli.batch.rows import PromptRow
from aigc_cli.core.errors import AigcError, BusyError, ExitStatus, UsageError
from tests.batch.conftest import outcome

ROWS = [PromptRow({"prompt": f"第{number}只猫\u2028"}, f"猫.csv:{number}") for number in range(24)]
ITEMS = plan_items(ROWS, Common(), seed=7, identity={}, earlier={})


def content(item: Item) -> bytes:
    return f"picture {item.index}".encode() * 1000


def done_record(item: Item) -> Record:
    return drawn(item, f"{item.index:04d}-猫.png", content(item), width=8, height=16, base_seed=7, score=0.5)


def save_item(folder: Path, item: Item) -> None:
    save(folder, done_record(item), content(item))


def done_in(folder: Path) -> tuple[set[str], list[str]]:
    records, said = outcome(read_records(folder))
    found, more = outcome(find_done(folder, records, {item.key for item in ITEMS}))
    return set(found.done), said + more


def test_a_picture_has_a_line(tmp_path: Path) -> None:
    save_item(tmp_path, ITEMS[3])
    append(tmp_path, failed(ITEMS[4], "out of memory", base_seed=7))
    lines = [json.loads(line) for line in (tmp_path / NAME).read_text("utf-8").split("\n")[:-1]]
    assert (tmp_path / "0003-猫.png").read_bytes() == content(ITEMS[3])
    assert {name: value for name, value in lines[0].items() if name not in ("size", "sha256", "time", "base_seed", "row", "row_seed")} == {
        "index": 3,
        "key": ITEMS[3].key,
        "status": "done",
        "seed": 10,
        "prompt": "第3只猫\u2028",
        "file": "0003-猫.png",
        "width": 8,
        "height": 16,
        "score": 0.5,
        "origin": "猫.csv:3",
    }
    assert lines[0]["size"] == len(content(ITEMS[3]))
    assert lines[0]["time"].endswith("+00:00")
    assert (lines[1]["status"], lines[1]["message"]) == ("failed", "out of memory")
    assert outcome(read_records(tmp_path))[0] == (done_record(ITEMS[3]), failed(ITEMS[4], "out of memory", base_seed=7))


def test_an_empty_folder_has_nothing_done(tmp_path: Path) -> None:
    assert outcome(read_records(tmp_path)) == ((), [])
    assert earlier_seed(()) is None


def test_done_is_what_is_there_as_it_was_written(tmp_path: Path) -> None:
    for item in ITEMS[:5]:
        save_item(tmp_path, item)
    (tmp_path / "0001-猫.png").unlink()
    (tmp_path / "0002-猫.png").write_bytes(content(ITEMS[2])[:-1])
    (tmp_path / "0003-猫.png").write_bytes(content(ITEMS[3]).swapcase())
    done, said = done_in(tmp_path)
    assert done == {ITEMS[0].key, ITEMS[4].key}
    assert said == [
        "1 of the 5 pictures that were drawn before are not there any more: drawn again",
        "2 of the 5 pictures that were drawn before are damaged: drawn again in their place",
    ]


def test_only_what_is_asked_for_is_looked_at(tmp_path: Path) -> None:
    for item in ITEMS[:3]:
        save_item(tmp_path, item)
    (tmp_path / "0001-猫.png").unlink()
    records, _ = outcome(read_records(tmp_path))
    found, said = outcome(find_done(tmp_path, records, {ITEMS[0].key, ITEMS[5].key}))
    assert (set(found.done), said) == ({ITEMS[0].key}, [])


def test_a_picture_that_another_has_replaced_is_not_done_and_not_damaged(tmp_path: Path) -> None:
    save_item(tmp_path, ITEMS[0])
    save(tmp_path, drawn(ITEMS[1], "0000-猫.png", content(ITEMS[1]), width=8, height=16, base_seed=7), content(ITEMS[1]))
    assert done_in(tmp_path) == ({ITEMS[1].key}, [])


def test_the_seed_of_a_prompt_from_the_command_line_is_not_the_folders(tmp_path: Path) -> None:
    append(tmp_path, failed(ITEMS[0], "x", base_seed=1))
    append(tmp_path, failed(dataclasses.replace(ITEMS[1], origin=""), "x", base_seed=2))
    assert earlier_seed(outcome(read_records(tmp_path))[0]) == 1


def test_a_try_that_failed_counts_until_one_did_not(tmp_path: Path) -> None:
    append(tmp_path, failed(ITEMS[0], "x", base_seed=1))
    save_item(tmp_path, ITEMS[0])
    save_item(tmp_path, ITEMS[1])
    append(tmp_path, failed(ITEMS[1], "x", base_seed=2))
    append(tmp_path, failed(ITEMS[2], "x", base_seed=2))
    assert done_in(tmp_path) == ({ITEMS[0].key, ITEMS[1].key}, [])
    assert earlier_seed(outcome(read_records(tmp_path))[0]) == 2


@pytest.mark.parametrize("cut", [1, 5, 200])
def test_a_torn_last_line_is_dropped_and_said(tmp_path: Path, cut: int) -> None:
    save_item(tmp_path, ITEMS[0])
    save_item(tmp_path, ITEMS[1])
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:-cut])
    assert done_in(tmp_path) == ({ITEMS[0].key}, [f"{path}: its last line was cut short by a kill or a power cut and does not count"])
    save_item(tmp_path, ITEMS[2])
    assert done_in(tmp_path) == ({ITEMS[0].key, ITEMS[2].key}, [])


@pytest.mark.parametrize("line", ["{}", "[]", "nonsense", '{"key": 3, "index": 0, "status": "done", "seed": 1, "prompt": ""}'])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    save_item(tmp_path, ITEMS[0])
    with (tmp_path / NAME).open("a") as file:
        file.write(f"{line}\n")
    save_item(tmp_path, ITEMS[1])
    with pytest.raises(AigcError, match=rf"{NAME}:2: no record of a picture"):
        outcome(read_records(tmp_path))


def test_fields_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    save_item(tmp_path, ITEMS[0])
    path = tmp_path / NAME
    path.write_text(path.read_text("utf-8").replace("{", '{"mood": "good", ', 1), "utf-8")
    assert done_in(tmp_path) == ({ITEMS[0].key}, [])


def test_a_picture_that_cannot_be_saved_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "0000-猫.png").mkdir()
    with pytest.raises(OSError, match="directory"):
        save_item(tmp_path, ITEMS[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0000-猫.png", NAME]
    assert done_in(tmp_path)[0] == set()


RUN = """
import sys, time
from pathlib import Path
from tests.batch.test_manifest import ITEMS, hold_output, done_in, save_item
folder = Path(sys.argv[1])
with hold_output(folder):
    done, _ = done_in(folder)
    print("held", flush=True)
    for item in ITEMS:
        if item.key not in done:
            save_item(folder, item)
    time.sleep(float(sys.argv[2]))
"""


def start(folder: Path, then: float = 60.0) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([sys.executable, "-c", RUN, str(folder), str(then)], stdout=subprocess.PIPE, env=environment)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds tmp_path/out."""
    process = start(tmp_path / "out")
    yield process
    process.kill()
    process.communicate()


def test_a_second_run_is_told_who_holds_the_folder(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    with pytest.raises(BusyError, match=rf"another run holds .*out \(process {holder.pid}\)") as caught, hold_output(tmp_path / "out"):
        pass
    assert caught.value.status == ExitStatus.BUSY == 75


def test_a_run_that_is_killed_again_and_again_ends_with_every_picture_once(tmp_path: Path) -> None:
    out = tmp_path / "图"
    kills = 0
    while not (out / NAME).exists() or len(done_in(out)[0]) < len(ITEMS):
        process = start(out)
        time.sleep(0.004 * kills)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
    assert kills > 1
    with hold_output(out):
        assert done_in(out) == ({item.key for item in ITEMS}, [])
    names = sorted(path.name for path in out.iterdir())
    assert names == [".images.lock", *(f"{item.index:04d}-猫.png" for item in ITEMS), NAME]


def test_a_start_that_comes_to_nothing_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        with hold_output(tmp_path / name):
            assert (tmp_path / name / ".images.lock").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]


def test_places_that_are_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, message in (("file", "is a file, not a folder"), ("file/out", "cannot be written: not a directory")):
        with pytest.raises(UsageError, match=message), hold_output(tmp_path / name):
            pass

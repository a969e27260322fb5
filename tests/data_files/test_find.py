"""Which files are read, and which are named as left alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from aigc_cli.core.errors import UsageError
from aigc_cli.data.find import find_files
from tests.data_files.conftest import texts

Write = Callable[..., Path]


def names(*paths: Path | str, **options: list[str]) -> list[str]:
    return [file.path.name for file in find_files([str(path) for path in paths], **options).files["train"]]


def test_a_folder_is_read_whole_and_in_order(write: Write, tmp_path: Path) -> None:
    for name in ("b.jsonl", "a/二.csv.gz", "a/1.TXT", ".hidden.jsonl", ".git/x.jsonl", "c.parquet", "d.json.xz"):
        write(f"data/{name}", "x")
    assert names(tmp_path / "data") == ["1.TXT", "二.csv.gz", "b.jsonl", "c.parquet", "d.json.xz"]


def test_what_a_folder_holds_besides_is_said(write: Write, tmp_path: Path) -> None:
    for name in ("a.jsonl", "README.md", "picture.png", "LICENSE.txt", "c.parquet.gz"):
        write(f"data/{name}", "x")
    found = find_files([str(tmp_path / "data")])
    assert [file.path.name for file in found.files["train"]] == ["a.jsonl"]
    (caution,) = found.cautions
    assert [Path(name).name for name in caution.message.removeprefix("not read as data: ").split(", ")] == [
        "LICENSE.txt",
        "README.md",
        "c.parquet.gz",
        "picture.png",
    ]
    assert names(tmp_path / "data" / "README.md") == ["README.md"]


def test_a_link_to_a_folder_is_not_entered(write: Write, tmp_path: Path) -> None:
    write("data/a.jsonl", "x")
    os.symlink(tmp_path / "data", tmp_path / "data" / "loop")
    found = find_files([str(tmp_path / "data")])
    assert len(found.files["train"]) == 1
    assert "loop" in found.cautions[0].message


def test_what_a_run_has_left_in_the_folder_is_not_data(write: Write, tmp_path: Path) -> None:
    write("data/a.jsonl", "x")
    for name in ("run.json", "log.jsonl", "rejects.jsonl", "checkpoints/a/manifest.json"):
        write(f"data/mine/{name}", "x")
    assert names(tmp_path / "data") == ["a.jsonl"]


def test_no_file_is_read_twice(write: Write, tmp_path: Path) -> None:
    path = write("data/a.jsonl", "x")
    assert names(path, tmp_path / "data", f"{tmp_path}/data/../data/a.jsonl") == ["a.jsonl"]


def test_a_file_named_for_the_test_is_not_trained_on(write: Write, tmp_path: Path) -> None:
    write("data/train.jsonl", "x")
    test = write("data/test.jsonl", "x")
    assert names(tmp_path / "data", test=[str(test)]) == ["train.jsonl"]
    assert "test.jsonl is trained on too" in find_files([str(tmp_path / "data")]).cautions[0].message


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("data/missing.jsonl", "no such file or folder"),
        ("data/a.docx", "data cannot be read from this kind of file"),
        ("data/empty", "there is no data in this folder"),
        ("data/fifo", "no ordinary file"),
    ],
)
def test_paths_that_hold_no_data(path: str, words: str, write: Write, tmp_path: Path) -> None:
    write("data/a.docx", "x")
    write("data/empty/a.docx", "x")
    os.mkfifo(tmp_path / "data" / "fifo")
    with pytest.raises(UsageError, match=words) as error:
        names(tmp_path / path)
    if "kind" in words:
        assert ".jsonl" in error.value.hint
        assert ".xz" in error.value.hint


def test_a_file_named_for_two_splits_is_refused(write: Write) -> None:
    path = str(write("a.jsonl", *texts("x")))
    with pytest.raises(UsageError, match="named for train and for validation"):
        find_files([path], validation=[path])
    with pytest.raises(UsageError, match="named for validation and for test"):
        find_files([str(write("b.jsonl", "x"))], validation=[path], test=[path])

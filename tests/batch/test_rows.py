"""Files of prompts: what they may look like, and how they are told what is wrong with them."""

from __future__ import annotations

import gzip
import io
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aigc_cli.batch import rows as rows_module
from aigc_cli.batch.plan import Common, check_row
from aigc_cli.batch.source import folder_of
from aigc_cli.core.errors import ExitStatus, UsageError
from tests.batch.conftest import Read

Write = Callable[[str, str | bytes], Path]
ROW = {"prompt": "一只狐狸, 雪", "negative_prompt": "", "seed": 7, "steps": 20, "guidance_scale": 7.5, "filename": "狐狸"}


def test_text_holds_a_prompt_a_line(write: Write) -> None:
    path = write("ideas.txt", "\ufeffa fox\r\n\n# no prompt\n  雪中的红狐  \n \t\n a # b\n")
    read = Read(path)
    assert read.values == [{"prompt": "a fox"}, {"prompt": "雪中的红狐"}, {"prompt": "a # b"}]
    assert read.origins == [f"{path}:1", f"{path}:4", f"{path}:6"]


def test_a_table_has_a_column_for_each_option(write: Write) -> None:
    rows = ["prompt,negative-prompt,seed,width,guidance_scale,n", '"a fox, ""red"",\nin snow",,7,512.0,7.5,2', ",,,,,", "猫,模糊,,,,", ""]
    read = Read(write("ideas.csv", "\ufeff" + "\r\n".join(rows)))
    assert read.values == [
        {"prompt": 'a fox, "red",\nin snow', "seed": 7, "width": 512, "guidance_scale": 7.5, "n": 2},
        {"prompt": "猫", "negative_prompt": "模糊"},
    ]
    assert [origin.rpartition(":")[2] for origin in read.origins] == ["2", "5"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "a.jsonl.gz"])
def test_json_rows(write: Write, name: str) -> None:
    rows = [ROW, {"prompt": "b", "seed": None, "width": 512.0}]
    text = json.dumps(rows) if name == "a.json" else "\n\n".join(map(json.dumps, rows))
    read = Read(write(name, gzip.compress(text.encode()) if name.endswith(".gz") else text))
    assert read.values == [ROW, {"prompt": "b", "width": 512}]


def test_tabs_part_the_cells_of_tsv(write: Write) -> None:
    assert Read(write("a.tsv", "prompt\tseed\na, b\t3\n")).values == [{"prompt": "a, b", "seed": 3}]


@pytest.mark.parametrize(
    ("content", "prompts"),
    [
        ("{red|blue} house\n{two}\n", ["{red|blue} house", "{two}"]),
        ('\ufeff# rows\n\n{"prompt": "a"}\n{"prompt": "b"}\n', None),
        ('{"prompt": "a"}\n{"prompt": "b"}\n', ["a", "b"]),
        ('[\n {"prompt": "a"},\n {"prompt": "b"}\n]\n', ["a", "b"]),
        ("[cat] in a tree\n", ["[cat] in a tree"]),
        ("seed,prompt\n1,a\n", ["a"]),
        ("seed\tprompt\n1\ta\n", ["a"]),
        ("a prompt, seed\n狗\n", ["a prompt, seed", "狗"]),
    ],
)
def test_stdin_is_told_apart_by_its_first_line(content: str, prompts: list[str] | None) -> None:
    stdin = io.BytesIO(content.encode())
    if prompts is None:  # JSON lines know no remarks
        with pytest.raises(UsageError, match="stdin:1: broken JSON"):
            Read("-", stdin=stdin)
        return
    read = Read("-", stdin=stdin)
    assert read.prompts == prompts
    assert read.origins[0].startswith("stdin:")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_is_read_like_stdin(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b'{"prompt": "a"}\n',))
    writer.start()
    read = Read(pipe)
    writer.join()
    assert (read.prompts, read.origins) == (["a"], [f"{pipe}:1"])
    assert folder_of(str(pipe)) == folder_of("-") == Path()


def refused(path: Path | str, **options: Any) -> list[str]:
    """The lines of the error, without the folder of the file."""
    with pytest.raises(UsageError) as caught:
        Read(path, **options)
    assert caught.value.status == ExitStatus.USAGE
    assert caught.value.hint
    return caught.value.message.replace(f"{Path(path).parent}/", "").split("\n")


def test_every_bad_row_is_named_with_its_column(write: Write) -> None:
    good = "a fox,20,\n"
    table = "prompt,steps,init_image\n" + good * 15 + "b,abc,\n" + good + " ,20,\nc,20,there-is.none\nd,20\n"
    assert refused(write("ideas.csv", table)) == [
        "4 of 20 rows cannot be used",
        "ideas.csv:17: steps: 'abc' is no whole number",
        "ideas.csv:19: prompt: not given",
        "ideas.csv:20: init_image: there-is.none: no such file",
        "ideas.csv:21: it has 2 fields, the header has 3",
    ]


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ('{"prompt": "a", "stepz": 3}', "there is no column 'stepz', did you mean steps?"),
        ('{"prompt": "a", "steps": true}', "steps: 'true' is no whole number"),
        ('{"prompt": "a", "steps": 2.5}', "steps: '2.5' is no whole number"),
        ('{"prompt": "a", "steps": [2]}', "steps: a list, not one value"),
        ('{"prompt": "a", "steps": "1_000"}', "steps: '1_000' is no whole number"),
        ('{"prompt": "a", "seed": "' + "9" * 5000 + '"}', "seed: '99999"),
        ('{"prompt": "a", "strength": "nan"}', "strength: 'nan' is no number"),
        ('{"prompt": "a", "n": 0}', "n: must be at least 1, not 0"),
        ('{"prompt": "a", "steps": 1, "--steps": 2}', "steps: given twice"),
        ('{"prompt": 3}', "prompt: a number, not text"),
        ('{"prompt": " "}', "prompt: empty"),
        ('{"prompt": "\\u0000"}', "prompt: a character that is none"),
        ('{"prompt": "\\ud800"}', "prompt: a character that is none"),
        ('{"prompt": null}', "prompt: not given"),
        ('{"seed": 3}', "prompt: not given"),
        ('"a fox"', "text, not an object"),
        ('{"prompt": ', "broken JSON"),
        ("\0", "a NUL byte at byte 0 of the row"),
    ],
)
def test_bad_rows_of_json(write: Write, row: str, error: str) -> None:
    lines = refused(write("a.jsonl", f'{{"prompt": "good"}}\n{row}\n'))
    assert lines[0] == "1 of 2 rows cannot be used"
    assert lines[1].startswith(f"a.jsonl:2: {error}")


@pytest.mark.parametrize("name", ["a.txt", "a.csv"])
def test_bytes_that_are_no_text(write: Write, name: str) -> None:
    lines = refused(write(name, b"prompt\n" + "你好".encode("gb18030") + b"\nab\0c\n"))
    assert [line.partition(" ")[2] for line in lines[1:]] == [
        "not UTF-8 at byte 0 of the row (0xc4)",
        "a NUL byte at byte 2 of the row",
    ]


def test_the_first_twenty_are_listed_and_all_counted(write: Write) -> None:
    lines = refused(write("a.jsonl", '{"prompt": "a"}\n' + '{"prompt": ""}\n' * 30))
    assert (lines[0], len(lines), lines[-1]) == ("30 of 31 rows cannot be used", 22, "... and 10 more")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "text,seed\na,3\n", "a.csv: the header names no column 'prompt'"),
        ("a.csv", "提示词\n猫\n", "a.csv: the header names no column 'prompt'"),
        ("a.csv", "prompt,sead\na,\n", "a.csv: there is no column 'sead', did you mean seed?"),
        ("a.csv", "prompt,steps,--steps\na,1,2\n", "a.csv: the header names the column 'steps' twice"),
        ("a.csv", "prompt,\na,\n", "a.csv: a column has no name"),
        ("a.csv", "prompt,seed\n", "a.csv holds no prompt"),
        ("a.txt", "", "a.txt holds no prompt"),
        ("a.txt", "# nothing\n\n", "a.txt holds no prompt"),
        ("a.json", "[]", "a.json holds no prompt"),
        ("a.xlsx", "PK", "a.xlsx: prompts cannot be read from this kind of file"),
        ("a.parquet", "PAR1", "a.parquet: prompts cannot be read from this kind of file"),
    ],
)
def test_files_that_are_no_file_of_prompts(write: Write, name: str, content: str, message: str) -> None:
    assert refused(write(name, content))[0] == message


def test_what_is_not_there_or_empty(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.csv") == ["none.csv: no such file or directory"]
    assert refused(tmp_path)[0].endswith("prompts cannot be read from a folder")
    assert refused("-", stdin=io.BytesIO(b" \n")) == ["stdin holds no prompt"]


def test_a_file_that_is_cut_short_is_said(write: Write) -> None:
    whole = gzip.compress(os.urandom(10_000).hex().encode() + b"\nb\n")
    assert "the compressed file is cut short" in refused(write("a.txt.gz", whole[:-2000]))[-1]


def test_rows_whose_values_do_not_go_together(write: Write) -> None:
    path = write("a.csv", "prompt,steps,guidance_scale,mask\na,0,,\nb,20,200,\nc {x,,,\nd,,,a.csv\ne __f__,,,\nf,,,\n")
    lines = refused(path, folder=path.parent, check=lambda row: check_row(row, Common()))
    assert lines[0] == "5 of 6 rows cannot be used"
    for line, error in zip(
        lines[1:],
        [
            "a.csv:2: steps must be at least 1 and at most 1000, not 0",
            "a.csv:3: guidance_scale must be at least 0 and at most 100, not 200",
            "a.csv:4: the prompt's { at character 3 has no partner; write \\{",
            "a.csv:5: mask belongs to init_image",
            "a.csv:6: there is no folder to look for the wildcard __f__ in",
        ],
        strict=True,
    ):
        assert line.startswith(error)


def test_names_of_pictures_are_relative_to_the_file(write: Write) -> None:
    photo = write("照片/猫.png", b"")
    path = write("ideas.csv", "prompt,init_image\na,照片/猫.png\n")
    assert Read(path, folder=folder_of(str(path))).values[0]["init_image"] == photo


def test_skipped_rows_are_kept_beside(write: Write, tmp_path: Path) -> None:
    rejects = tmp_path / "out" / "rejects.jsonl"
    path = write("a.csv", "prompt,steps\n猫,x\n狗,3\n")
    read = Read(path, rejects=rejects)
    assert read.prompts == ["狗"]
    assert [said.splitlines()[0] for said in read.said] == ["1 of 2 rows are bad and left out"]
    written = [json.loads(line) for line in rejects.read_text("utf-8").splitlines()]
    assert written == [{"file": str(path), "line": 2, "error": "steps: 'x' is no whole number", "row": "猫,x\n"}]


def test_no_rejects_without_bad_rows_and_no_run_without_good_ones(write: Write, tmp_path: Path) -> None:
    Read(write("a.txt", "a\n"), rejects=tmp_path / "rejects.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
    assert refused(write("a.jsonl", "x\n"), rejects=tmp_path / "rejects.jsonl")[0] == "1 of 1 rows cannot be used"


def test_too_many_rows(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "MAX_RESULTS", 3)
    assert refused(write("a.txt", "a\n" * 5)) == ["a.txt holds 5 prompts, and a run takes 3 at most"]

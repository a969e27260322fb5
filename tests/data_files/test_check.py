"""The check as a whole: what is refused, what is left out, what the data set holds."""

from __future__ import annotations

import json
import lzma
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Progress
from aigc_cli.core.sample import ChatSample, CompletionSample, Origin, TextSample
from aigc_cli.data.dataset import rows_of
from tests.data_files.conftest import Checked, texts

Write = Callable[..., Path]
CHAT = {"messages": [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "您好！"}]}


def test_good_data(write: Write) -> None:
    path = write("数据.jsonl", *texts("一", "二", "三"))
    checked = Checked(path)
    assert checked.samples == [TextSample("一"), TextSample("二"), TextSample("三")]
    assert checked.origins == ["数据.jsonl:1", "数据.jsonl:2", "数据.jsonl:3"]
    assert checked.dataset.formats == ("text",)
    assert checked.dataset.counts == {"train": 3, "validation": 0, "test": 0}
    (file,) = checked.dataset.files["train"]
    assert file.path == str(path)
    assert file.size == path.stat().st_size
    assert file.sha256 == subprocess.run(["sha256sum", path], capture_output=True, text=True).stdout.split()[0].lstrip("\\")
    assert checked.cautions == ""
    assert not checked.rejects.exists()


def test_sha256_is_of_the_file_on_disk(write: Write, tmp_path: Path) -> None:
    names = {"a.jsonl.xz": lzma.compress(b'{"text": "a"}\n'), "b.csv": b"text\nb\n", "c.json": b'[{"text": "c"}]\n \n', "d.txt": b"d\n\n"}
    for name, data in names.items():
        write(f"data/{name}", data)
    for file in Checked(tmp_path / "data").dataset.files["train"]:
        assert file.sha256 == subprocess.run(["sha256sum", file.path], capture_output=True, text=True).stdout.split()[0]


def test_bad_rows_are_counted_and_the_first_twenty_listed(write: Write) -> None:
    path = write("a.jsonl", *texts("a"), *['{"text": ""}\n', "broken\n"] * 15, *texts("b"))
    with pytest.raises(UsageError) as error:
        Checked(path)
    first, *lines = error.value.message.split("\n")
    assert first == "30 of 32 rows cannot be trained on"
    assert lines[0] == f"{path}:2: text is empty"
    assert lines[1].startswith(f"{path}:3: broken JSON at character 1 of the row")
    assert lines[20:] == ["... and 10 more"]
    assert "--skip-bad" in error.value.hint


def test_bytes_that_are_not_utf8_come_with_the_way_to_convert_them(write: Write) -> None:
    with pytest.raises(UsageError, match="not UTF-8 at byte 10 of the row") as error:
        Checked(write("a.jsonl", *texts("a"), '{"text": "你好"}\n'.encode("gb18030")))
    assert "iconv -f GB18030 -t UTF-8" in error.value.hint


def test_rows_of_another_format_are_bad_and_the_majority_decides(write: Write, tmp_path: Path) -> None:
    write("data/0.jsonl", {"instruction": "a", "output": "b"}, CHAT)
    write("data/1.jsonl", CHAT, {"messages": []}, CHAT)
    write("data/2.txt", "prose\n")
    with pytest.raises(UsageError) as error:
        Checked(tmp_path / "data")
    assert [line.rpartition("/")[2] for line in error.value.message.split("\n")] == [
        "3 of 6 rows cannot be trained on",
        "output, the others have messages",
        "1.jsonl:2: messages is empty",
        "2.txt:1: this row has text, the others have messages",
    ]
    assert "0.jsonl:1: this row has instruction/output, the others" in error.value.message


def test_mixed_formats_are_learnt_together_where_that_is_asked_for(write: Write) -> None:
    paths = write("a.jsonl", CHAT, *texts("一", "二"), {"chosen": "a", "rejected": "b"}), write("b.txt", "三\n")
    with pytest.raises(UsageError, match="2 of 5 rows") as error:
        Checked(*paths)
    assert error.value.hint.endswith("--mix learns rows of several formats together")
    with pytest.raises(UsageError, match=r"a\.jsonl:4: this row has chosen/rejected, the others have text or messages") as error:
        Checked(*paths, mix=True)
    assert "--mix" not in error.value.hint
    checked = Checked(*paths, mix=True, skip_bad=True)
    assert checked.dataset.formats == ("text", "chat")
    assert checked.dataset.counts["train"] == 4
    assert [type(sample) for sample in checked.samples] == [ChatSample, TextSample, TextSample, TextSample]
    assert [json.loads(line)["line"] for line in checked.rejects.read_text("utf-8").splitlines()] == [4]


def test_skip_bad_leaves_bad_rows_out_and_keeps_them_beside(write: Write, tmp_path: Path) -> None:
    broken = b'{"text": "\xff\xfe'
    write("data/a.jsonl", *texts("一"), broken + b"\n", {"prompt": "p", "completion": "c"}, *texts("二"))
    write("data/b.jsonl", *texts("三"))
    checked = Checked(tmp_path / "data", skip_bad=True)
    assert [sample.text for sample in checked.samples] == ["一", "二", "三"]  # type: ignore[union-attr]
    assert checked.dataset.left_out == 2
    assert "2 of 5 rows are bad and left out (they are in rejects.jsonl" in checked.cautions
    first, second = map(json.loads, checked.rejects.read_text("utf-8").splitlines())
    assert list(first) == ["file", "line", "error", "row"]
    assert (first["line"], first["error"]) == (2, "not UTF-8 at byte 10 of the row (0xff)")
    assert first["row"] == '{"text": "\\xff\\xfe\n'
    assert second["error"] == "this row has prompt/completion, the others have text"
    assert json.loads(second["row"]) == {"prompt": "p", "completion": "c"}
    assert sorted(path.name for path in Path().iterdir()) == ["rejects.jsonl"]


def test_without_a_place_for_them_the_first_twenty_are_listed(write: Write) -> None:
    checked = Checked(write("a.jsonl", *texts("一"), *["broken\n"] * 21), skip_bad=True, rejects=None)
    lines = checked.cautions.split("\n")
    assert lines[0] == "21 of 22 rows are bad and left out"
    assert "a.jsonl:2: broken JSON at character 1" in lines[1]
    assert lines[21].startswith("... and 1 more")
    assert not checked.rejects.exists()


def test_a_large_bad_row_is_cut_in_the_rejects(write: Write) -> None:
    checked = Checked(write("a.jsonl", *texts("a"), "x" * 3_000_000 + "\n"), skip_bad=True)
    assert len(json.loads(checked.rejects.read_text())["row"]) == 2**20


def test_a_file_cut_short_counts_up_to_there(write: Write) -> None:
    data = lzma.compress("".join(json.dumps({"text": str(n**9)}) + "\n" for n in range(9000)).encode(), preset=0)
    path = write("a.jsonl.xz", data[:-5000])
    with pytest.raises(UsageError, match=r"^1 of \d+ rows(.|\n)*the compressed file is cut short"):
        Checked(path)
    checked = Checked(path, skip_bad=True)
    assert checked.dataset.counts["train"] == len(checked.samples) > 1000


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", "", "there is no row in"),
        ("a.jsonl", "\n \n", "there is no row in"),
        ("a.csv", "text\n", "there is no row in"),
        ("a.txt", "\n\n", "there is no row in"),
        ("a.json", "[]", "there is no row in"),
        ("a.jsonl", '{"q": 1, "答": 2}\n{"cat": 3}\n', "no row has a format that is known; the keys that were found: q, 答, cat"),
        ("a.csv", "提问,回答\na,b\n", "the keys that were found: 提问, 回答"),
        ("a.jsonl", "broken\n", "1 of 1 rows cannot be trained on"),
        ("a.jsonl", '{"prompt": "p", "chosen": "a", "rejected": "b"}\n', "these are preference pairs"),
    ],
)
@pytest.mark.parametrize("skip_bad", [False, True])
def test_data_that_cannot_be_trained_on(name: str, content: str, words: str, skip_bad: bool, write: Write) -> None:
    with pytest.raises(UsageError, match=words) as error:
        Checked(write(name, content), skip_bad=skip_bad)
    assert error.value.hint


def test_a_preference_pair_among_others_is_a_bad_row(write: Write) -> None:
    path = write("a.jsonl", *texts("a", "b"), {"chosen": "a", "rejected": "b"})
    with pytest.raises(UsageError, match=r"a\.jsonl:3: this row has chosen/rejected, the others have text"):
        Checked(path)


def test_characters_that_no_text_has(write: Write) -> None:
    with pytest.raises(UsageError) as error:
        Checked(write("a.jsonl", *texts("a"), '{"text": "b\\ud800"}\n', '{"text": "c\\u0000"}\n'))
    _, half, nul = error.value.message.split("\n")
    assert half.endswith("a.jsonl:2: half a character (\\ud800) in its text")
    assert nul.endswith("a.jsonl:3: a NUL character (\\u0000) in its text")


def test_one_row_trains_with_nothing_kept_back(write: Write) -> None:
    one = Checked(write("a.jsonl", *texts("a")), val_split=0.5)
    assert one.dataset.counts == {"train": 1, "validation": 0, "test": 0}
    assert "there is one row: nothing is kept back" in one.cautions
    same = Checked(write("b.jsonl", *texts("a", "a")), val_split=0.5)
    assert same.dataset.counts["train"] == 2
    assert "all rows are the same" in same.cautions


def test_a_file_without_rows_among_others_is_said(write: Write, tmp_path: Path) -> None:
    write("data/a.jsonl", *texts("a"))
    write("data/b.jsonl", "")
    assert "b.jsonl holds no row" in Checked(tmp_path / "data").cautions


def test_keys_that_would_change_what_is_learnt_are_said(write: Write) -> None:
    assert "not used: system, tools" in Checked(write("a.jsonl", {**CHAT, "tools": [], "system": "s", "id": 1})).cautions


def test_duplicates_and_leaks_are_counted(write: Write) -> None:
    data = write("a.jsonl", *texts("a", "b", "a", "a"), {"text": "b", "id": 5}, *texts("c"))
    held = write("held.jsonl", *texts("b", "x"))
    checked = Checked(data, validation=[held], test=[write("test.jsonl", *texts("c"))], val_split=0.9, test_split=0.05)
    assert checked.dataset.duplicates == 3
    assert checked.dataset.leaked == 3
    assert checked.dataset.counts == {"train": 6, "validation": 2, "test": 1}
    assert "3 rows that are trained on also stand in the files for validation or test" in checked.cautions
    assert [split for split, _, _ in checked.dataset.samples()] == ["train"] * 6 + ["validation"] * 2 + ["test"]


def test_a_validation_file_without_a_usable_row_is_refused(write: Write) -> None:
    data, held = write("a.jsonl", *texts("a")), write("b.jsonl", {"prompt": "p", "completion": "c"})
    with pytest.raises(UsageError, match=r"b\.jsonl:1: this row has prompt/completion, the others have text"):
        Checked(data, validation=[held])
    with pytest.raises(UsageError, match=r"no row to measure on in .*b.jsonl"):
        Checked(data, validation=[held], skip_bad=True)


@pytest.mark.parametrize("content", ['{"text": "a"}\n{"text": "c"}\n', '{"text": "a"}\n{"text": "b"}\n{"text": "c"}\n'])
def test_a_file_that_changes_after_the_check_is_noticed(content: str, write: Write) -> None:
    path = write("a.jsonl", *texts("a", "b"))
    checked = Checked(path)
    before = path.stat()
    path.write_text(content)
    if path.stat().st_size == before.st_size:  # only the hash tells
        __import__("os").utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(UsageError, match="has changed since it was checked"):
        list(checked.dataset.samples())


def test_progress_is_in_bytes_of_all_files(write: Write, tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        write(f"data/{name}", *texts(*("x" * 1000 for _ in range(1500))))
    progress = [event for event in Checked(tmp_path / "data").events if isinstance(event, Progress)]
    total = sum(path.stat().st_size for path in (tmp_path / "data").iterdir())
    assert {event.total for event in progress} == {total}
    assert [event.done for event in progress] == sorted(event.done for event in progress)
    assert progress[-1].done == total
    assert len(progress) > 2


def test_rows_are_shown_as_they_stand(write: Write) -> None:
    path = write("a.jsonl", *texts("一", "x" * 1000, "三"), b'{"text": "\xff\n')
    origins = [Origin(str(path), line) for line in (3, 2, 4, 9)] + [Origin("gone.jsonl", 1)]
    third, second, broken, *missing = rows_of(origins)
    assert third == '{"text": "三"}'
    assert len(second) == 500
    assert broken == '{"text": "\\xff'
    assert missing == ["", ""]


def test_rows_of_one_line_are_told_apart(write: Write) -> None:
    path = write("a.json", '[{"text": "一"}, {"text": "二"}, {"text": "三"},\n{"text": "四"}]')
    origins = [origin for _, origin, _ in Checked(path).dataset.samples()]
    assert [str(origin) for origin in origins] == [f"{path}:1 (row 1)", f"{path}:1 (row 2)", f"{path}:1 (row 3)", f"{path}:2"]
    assert rows_of(origins[::-1]) == [f'{{"text": "{word}"}}' for word in "四三二一"]
    long = write("b.txt", "word " * 3000)
    assert [str(origin) for _, origin, _ in Checked(long).dataset.samples()] == [f"{long}:1 (row 1)", f"{long}:1 (row 2)"]


def test_memory_does_not_grow_with_the_file(write: Write) -> None:
    code = """
import resource, sys
from pathlib import Path
from aigc_cli.data.check import check
import numpy
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
events = check([sys.argv[1]], val_split=0.1, rejects=Path("rejects.jsonl"))
try:
    while True: next(events)
except StopIteration as end:
    print(sum(1 for _ in end.value.samples()), peak() - before)
"""
    path = write("a.jsonl", *texts(*(f"{n} " + "字" * 1000 for n in range(8000))))
    result = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    count, kib = map(int, result.stdout.split())
    assert count == 8000
    assert kib < 8 * 1024  # of 24 MB


def test_the_check_loads_nothing_heavy() -> None:
    code = "import sys, aigc_cli.data.check; print([name for name in ('numpy', 'torch', 'pyarrow', 'transformers') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_real_data(data: Path) -> None:
    chats = Checked(data / "chat" / "kdconv_zh.jsonl.xz", val_split=0.05)
    assert chats.dataset.formats == ("chat",)
    assert chats.dataset.counts["validation"] > 0
    poems = Checked(data / "text" / "tinyshakespeare.txt.xz", val_split=0.05)
    assert poems.dataset.formats == ("text",)
    text = lzma.decompress((data / "text" / "tinyshakespeare.txt.xz").read_bytes()).decode()
    assert "\n\n".join(sample.text for sample in poems.samples) == text.strip()  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="the keys that were found: en, zh"):
        Checked(data / "text" / "tatoeba_en_zh.jsonl.xz")


def test_instructions_in_a_table(write: Write) -> None:
    checked = Checked(write("a.csv", 'instruction,input,output\n翻译,"good\nday",日安\n问好,,你好\n'))
    assert checked.samples == [CompletionSample("翻译\n\ngood\nday", "日安", True), CompletionSample("问好", "你好", True)]
    assert checked.origins == ["a.csv:2", "a.csv:4"]

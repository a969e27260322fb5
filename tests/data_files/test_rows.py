"""Files of every kind: what is read, with its line, and what is bad about the rest."""

from __future__ import annotations

import gzip
import json
import lzma
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aigc_cli.core.errors import AigcError, UsageError
from aigc_cli.data import json_rows
from aigc_cli.data.find import source_file
from aigc_cli.data.reading import Reading
from aigc_cli.data.row import MAX_ROW_BYTES, TOO_LONG, Row
from aigc_cli.data.text_rows import PIECE_BYTES
from tests.data_files.conftest import texts

Write = Callable[..., Path]
BOM = b"\xef\xbb\xbf"


def rows(path: Path) -> list[Row]:
    file = source_file(path)
    assert file
    return list(Reading(file).rows())


def shown(path: Path) -> list[tuple[int, Any]]:
    """Each row's line with its object or what is wrong with it."""
    return [(row.line, row.error or row.value) for row in rows(path)]


def test_json_lines(write: Write) -> None:
    path = write("a.jsonl", BOM, *texts("一"), "\r\n \n", '{"text": "a\u2028b\x85c"}\r\n', '{"text": "no newline"}')
    assert shown(path) == [(1, {"text": "一"}), (4, {"text": "a\u2028b\x85c"}), (5, {"text": "no newline"})]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"text": "a"', "broken JSON at character 14 of the row (Expecting ',' delimiter)"),
        (b'{"text": "a"} {"text": "b"}', "broken JSON at character 15 of the row (Extra data)"),
        (b'{"text": "a\x00"}', "a NUL byte at byte 11 of the row"),
        ('{"text": "你好"}'.encode("gb18030"), "not UTF-8 at byte 10 of the row (0xc4)"),
        (b'{"text": "\xed\xa0\x80"}', "not UTF-8 at byte 10 of the row (0xed)"),
        (b"[1, 2]", "a list, not an object"),
        (b'"text"', "text, not an object"),
        (b"null", "null, not an object"),
        (b"[", "a file that is one list of rows is to be named .json"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"text": ' + b"1" * 5000 + b"}", "broken JSON (Exceeds the limit"),
    ],
)
def test_a_bad_line_does_not_stop_the_reading(line: bytes, words: str, write: Write) -> None:
    first, bad, last = rows(write("a.jsonl", *texts("a"), line, "\n", *texts("c")))
    assert (first.value, bad.value, last.value) == ({"text": "a"}, None, {"text": "c"})
    assert bad.line == 2
    assert words in bad.error
    assert bad.raw == line + b"\n"


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".txt"])
def test_a_line_that_is_too_long_is_passed_over_and_never_held(suffix: str, write: Write) -> None:
    path = write(f"a{suffix}", *(texts("a") if suffix == ".jsonl" else ["text\n", "a\n"]))
    with path.open("ab") as file:
        file.truncate(path.stat().st_size + 2 * MAX_ROW_BYTES)  # zeros that take no place on disk
        file.write(b'\n{"text": "b"}\n' if suffix == ".jsonl" else b"\nb\n")
    tracemalloc.start()
    found = [(row.error, row.value) for row in rows(path)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [error for error, _ in found if error] == [TOO_LONG]
    assert found[-1] == ("", {"text": "b"})
    assert peak < 3.5 * MAX_ROW_BYTES


def test_a_list_of_rows(write: Write) -> None:
    text = '\n[\n  {"text": "一"},\n  {\n    "text": "b"\n  }, {"text": "c"}\n,5,{"text": "d"}]\n'
    assert shown(write("a.json", BOM, text)) == [
        (3, {"text": "一"}),
        (4, {"text": "b"}),
        (6, {"text": "c"}),
        (7, "a number, not an object"),
        (7, {"text": "d"}),
    ]
    assert shown(write("b.json", "[]")) == []
    assert shown(write("c.json", *texts("a", "b"))) == [(1, {"text": "a"}), (2, {"text": "b"})]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("chunk", [1, 7, 64, 2**18])
def test_a_list_is_read_alike_wherever_it_is_cut(indent: int | None, chunk: int, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_rows, "CHUNK_BYTES", chunk)
    values = [{"text": "一二三😀" * 20, "n": [1.5e-7, -12345, True, None]}, {"text": '"\\\u2028\n'}, 123456789, {"text": ""}]
    path = write("a.json", json.dumps(values, ensure_ascii=chunk == 7, indent=indent))
    assert [row.value or row.error for row in rows(path)] == [
        value if value != 123456789 else "a number, not an object" for value in values
    ]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (b'[{"text": "a"},\n{"text" "b"}, {"text": "c"}]', 2, "broken JSON at character 9 of the row (Expecting ':' delimiter): nothing"),
        (b'[{"text": "a"}\n {"text": "b"}]', 2, "'{' where a comma should be"),
        (b'[{"text": "a"},\n{"text": "b', 2, "Unterminated string"),
        (b'[{"text": "a"}\n', 2, "the list does not end"),
        (b'[{"text": "a"}]\n{"text": "b"}', 2, "there is more after the end of the list"),
    ],
)
def test_a_broken_list_is_read_up_to_there(text: bytes, line: int, words: str, write: Write) -> None:
    good, bad = rows(write("a.json", text))
    assert good.value == {"text": "a"}
    assert bad.line == line
    assert words in bad.error


def test_a_row_of_a_list_that_is_not_utf8_is_passed_over(write: Write) -> None:
    path = write("a.json", '[{"text": "a"}, ', '{"text": "你好"}'.encode("gb18030"), ', {"text": "c"}]')
    assert shown(path) == [(1, {"text": "a"}), (1, "not UTF-8 at byte 10 of the row (0xc4)"), (1, {"text": "c"})]
    assert rows(path)[1].raw == '{"text": "你好"}'.encode("gb18030")


def test_csv(write: Write) -> None:
    text = 'prompt, completion\r\n"两行\n，""引号""",b\r\n\r\nc,"d\n\ne"\r\nf,g\r\n'
    assert shown(write("a.csv", BOM, text)) == [
        (2, {"prompt": '两行\n，"引号"', "completion": "b"}),
        (5, {"prompt": "c", "completion": "d\n\ne"}),
        (8, {"prompt": "f", "completion": "g"}),
    ]
    assert shown(write("a.tsv", "prompt\tcompletion\na, b\tc\n")) == [(2, {"prompt": "a, b", "completion": "c"})]


def test_csv_with_a_large_field(write: Write) -> None:
    assert len(rows(write("a.csv", "text\n", "x" * 300_000, "\n"))[0].raw) == 300_001


def test_bad_rows_of_csv(write: Write) -> None:
    path = write("a.csv", 'text,n\na,1\nb\nc,1,2\n"d"e,1\n', "你好,1\n".encode("gb18030"), 'f,1\n"open,1\n')
    assert shown(path) == [
        (2, {"text": "a", "n": "1"}),
        (3, "it has 1 fields, the header has 2"),
        (4, "it has 3 fields, the header has 2"),
        (5, "malformed: ',' expected after '\"'"),
        (6, "not UTF-8 at byte 0 of the row (0xc4)"),
        (7, {"text": "f", "n": "1"}),
        (8, "malformed: unexpected end of data"),
    ]


def test_a_header_that_cannot_be_read(write: Write) -> None:
    with pytest.raises(UsageError, match="names the column 'text' twice"):
        rows(write("a.csv", "text,text\na,b\n"))
    with pytest.raises(UsageError, match="the header is not UTF-8 at byte 0") as error:
        rows(write("a.csv", "提问,回答\n".encode("gb18030")))
    assert "iconv" in error.value.hint


def test_text_is_cut_at_blank_lines(write: Write) -> None:
    paragraphs = [f"第{n}段" + "字" * 600 + "\n    indented" for n in range(12)]
    path = write("a.txt", BOM, "\n\n" + "\n \n\n".join(paragraphs) + "\n")
    found = rows(path)
    assert [row.line for row in found] == [3, 19, 35]
    texts = [row.value["text"] for row in found if row.value]
    assert all(len(text.encode()) <= PIECE_BYTES for text in texts)
    assert "\n\n\n".join(texts) == "\n\n\n".join(paragraphs)


def test_text_without_blank_lines_is_cut_at_line_ends_and_spaces(write: Write) -> None:
    lines = "".join(f"line {n}\r\n" for n in range(2000))
    texts = [row.value["text"] for row in rows(write("a.md", lines)) if row.value]
    assert len(texts) == 3
    assert "\n".join(texts) == lines.replace("\r", "").rstrip()
    for line in ("word " * 5000 + "end", "汉" * 10_000, "x" * 20_000):
        texts = [row.value["text"] for row in rows(write("b.txt", line)) if row.value]
        assert "".join(texts) == line
        assert all(len(text.encode()) <= PIECE_BYTES for text in texts)
        assert all(text.endswith(" ") for text in texts[:-1]) == (" " in line)


def test_a_line_of_text_that_is_not_utf8(write: Write) -> None:
    path = write("a.txt", "一\n", "二\n".encode("gb18030"), "三\n\n四\n")
    assert shown(path) == [(1, {"text": "一"}), (2, "not UTF-8 at byte 0 of the row (0xb6)"), (3, {"text": "三\n\n四"})]


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_compressed_files(suffix: str, compress: Callable[[bytes], bytes], write: Write) -> None:
    plain = "".join(json.dumps({"text": f"{n} 行 {n * 7919 % 104729}"}) + "\n" for n in range(5000)).encode()
    whole = write(f"a.jsonl{suffix}", compress(plain[:5000]) + compress(plain[5000:]))
    assert b"".join(row.raw for row in rows(whole)) == plain
    assert b"".join(row.raw for row in rows(write(f"a.csv{suffix}", compress(b"text\na\n")))) == b"a\n"
    *good, bad = rows(write(f"b.jsonl{suffix}", compress(plain)[:-2000]))
    assert len(good) > 1000
    assert all(row.value for row in good)
    assert b"".join(row.raw for row in good) == plain[: sum(len(row.raw) for row in good)]
    assert (bad.line, bad.error) == (len(good) + 1, "the compressed file is cut short")
    (bad,) = rows(write(f"c.jsonl{suffix}", plain))
    assert bad.error.startswith("the compressed file is damaged")


@pytest.mark.parametrize(
    ("name", "text"), [("a.json.xz", b'[{"text": "a"}, {"text": "b'), ("a.csv.xz", b'text\na\n"b'), ("a.txt.xz", b"a\nb")]
)
def test_a_damage_is_one_bad_row_whatever_the_kind(name: str, text: bytes, write: Write) -> None:
    compressed = lzma.compress(text + b"".join(n.to_bytes(4, "big").hex().encode() for n in range(9000)))
    found = rows(write(name, compressed[: len(compressed) // 2]))
    assert [row.error for row in found if row.error] == ["the compressed file is cut short"]


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    values = [[{"role": "user", "content": f"问{n}", "weight": None}] for n in range(600)]
    parquet.write_table(pyarrow.table({"messages": values, "picture": [b"x"] * 600}), path)
    found = rows(path)
    assert [row.line for row in found] == list(range(1, 601))
    assert found[599].value == {"messages": values[599]}
    parquet.write_table(pyarrow.table({"q": ["a"]}), path)
    assert shown(path) == [(1, {"q": "a"})]
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(UsageError, match="not a Parquet file that can be read"):
        rows(path)


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"")
    with pytest.raises(AigcError, match="needs the package pyarrow") as error:
        rows(tmp_path / "a.parquet")
    assert "'.[data]'" in error.value.hint


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        rows(tmp_path / "gone.jsonl")


def test_a_file_that_grows_while_it_is_read(write: Write) -> None:
    path = write("a.jsonl", *texts("a", "b"))
    file = source_file(path)
    assert file
    reading = Reading(file).rows()
    next(reading)
    with path.open("a") as appended:
        appended.write('{"text": "c"}\n')
    with pytest.raises(UsageError, match="has changed while it was being read"):
        list(reading)

"""What stands where, and what is refused."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from aigc_cli.core.errors import UsageError
from aigc_cli.text_input import MAX_TEXT_BYTES, decode, gather_text


def stdin(text: str | bytes = "") -> io.BytesIO:
    return io.BytesIO(text.encode() if isinstance(text, str) else text)


def test_stdin_then_files_then_the_argument(tmp_path: Path) -> None:
    (tmp_path / "文件.txt").write_text("from the file\n")
    assert gather_text("summarise", [tmp_path / "文件.txt"], stdin("diff\n")) == "diff\n\nfrom the file\n\nsummarise"


def test_a_dash_says_where_stdin_stands(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("A")
    assert gather_text("end", [tmp_path / "a", Path("-")], stdin("S")) == "A\n\nS\n\nend"
    assert gather_text("-", [tmp_path / "a"], stdin("S")) == "A\n\nS"


def test_one_part_is_taken_as_it_stands() -> None:
    assert gather_text(None, [], stdin("  two\n\n")) == "  two\n\n"
    assert gather_text(" hi ", [], stdin("")) == " hi "


def test_a_byte_order_mark_is_not_text() -> None:
    assert decode("\ufeff你好".encode(), "x") == "你好"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"abc\xff\xfe", r"not UTF-8 at byte 3 \(0xff\)"),
        ("你好".encode()[:-1], "not UTF-8 at byte 3"),
        ("你好".encode("gb18030"), "not UTF-8 at byte 0"),
        (b"\xef\xbb\xbfab\xff", r"not UTF-8 at byte 5 \(0xff\)"),
        (b"ab\0c", "NUL byte at byte 2"),
        (b"\x7fELF\x02\x01\x01\x00", "NUL byte at byte 7"),
    ],
)
def test_what_is_no_text_is_refused_with_the_byte(data: bytes, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        gather_text(None, [], stdin(data))


@pytest.mark.parametrize("text", ["", "\n", "  \n\t"])
def test_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no text"):
        gather_text(None, [], stdin(text))


def test_a_large_input_is_read_no_further_than_the_limit() -> None:
    class Endless(io.RawIOBase):
        read_bytes = 0

        def read(self, size: int = -1) -> bytes:  # type: ignore[override]
            self.read_bytes += size
            return b"a" * size

    source = Endless()
    with pytest.raises(UsageError, match="more than 64 MiB"):
        gather_text(None, [], source)  # type: ignore[arg-type]
    assert source.read_bytes == MAX_TEXT_BYTES + 1


def test_the_limit_is_for_all_parts_together(tmp_path: Path) -> None:
    (tmp_path / "half").write_bytes(b"a" * (MAX_TEXT_BYTES // 2 + 1))
    with pytest.raises(UsageError, match="more than 64 MiB of text, all parts together"):
        gather_text("x", [tmp_path / "half", tmp_path / "half"], stdin())


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        gather_text("x", [tmp_path], stdin())
    with pytest.raises(UsageError, match="no such file"):
        gather_text("x", [tmp_path / "missing"], stdin())


def test_an_argument_that_is_no_utf8_is_refused_with_the_byte() -> None:
    with pytest.raises(UsageError, match="the argument: not UTF-8 at byte 2"):
        gather_text("ab\udcff", [], stdin())

"""Tables, for people and for programs."""

from __future__ import annotations

import io
import sys

import pytest

from aigc_cli.render.output import Output
from aigc_cli.render.table import Section, write_fields, write_sections, write_table
from aigc_cli.render.width import cells, one_line

HEADINGS = ("NAME", "SIZE", "LICENCE")
ROWS = [("qwen3:0.6b", "1.4 GiB", "Apache-2.0"), ("我的模型", "-", "MIT")]


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True

    def shown(self) -> str:
        return self.buffer.getvalue().decode()  # type: ignore[attr-defined, no-any-return]


def terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> tuple[Terminal, Terminal]:
    """stdout and stderr."""
    streams = Terminal(io.BytesIO(), encoding="utf-8", write_through=True), Terminal(io.BytesIO(), encoding="utf-8", write_through=True)
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    return streams


def test_columns_are_aligned_by_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout, _ = terminal(monkeypatch, 80)
    write_table(Output(), HEADINGS, ROWS)
    assert stdout.shown() == "NAME        SIZE     LICENCE\nqwen3:0.6b  1.4 GiB  Apache-2.0\n我的模型    -        MIT\n"


def test_a_narrow_terminal_gets_fewer_columns_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout, stderr = terminal(monkeypatch, 24)
    write_table(Output(), HEADINGS, ROWS)
    assert stdout.shown() == "NAME        SIZE\nqwen3:0.6b  1.4 GiB\n我的模型    -\n"
    assert "left out for want of room: licence" in " ".join(stderr.shown().split())


def test_the_first_column_is_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout, _ = terminal(monkeypatch, 5)
    write_table(Output(), HEADINGS, ROWS)
    assert stdout.shown() == "NAME\nqwen3:0.6b\n我的模型\n"


def test_a_pipe_gets_every_column_and_no_headings(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    write_table(Output(), HEADINGS, [*ROWS, ("a\tb\nc", "", "")])
    assert capfdbinary.readouterr().out.decode() == "qwen3:0.6b\t1.4 GiB\tApache-2.0\n我的模型\t-\tMIT\na b c\t\t\n"


def test_a_cell_cannot_drive_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout, _ = terminal(monkeypatch, 80)
    write_fields(Output(), [("path", "/tmp/\x1b[2Jx\u202e"), ("名称", "y")])
    assert stdout.shown().startswith("path  /tmp/")
    assert stdout.shown().endswith("x\n名称  y\n")
    assert not {"\x1b", "\u202e"} & set(stdout.shown())


def test_a_row_that_is_too_wide_ends_below(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("dtype", "auto", "number format of the weights"), ("top_k", "-", "default")]
    stdout, _ = terminal(monkeypatch, 30)
    write_fields(Output(), rows)
    assert stdout.shown() == "dtype  auto\n    number format of the weights\ntop_k  -     default\n"
    stdout, _ = terminal(monkeypatch, 24)
    write_sections(Output(), [Section("速度", [("cpu", "12 GFLOP/s", "最快")]), Section("None", [])])
    assert stdout.shown() == "速度\n  cpu  12 GFLOP/s  最快\n"


def test_in_a_pipe_fields_are_tabbed_and_a_report_is_aligned(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    write_fields(Output(), [("key", "a\nb"), ("longer", "c")])
    write_sections(Output(), [Section("A", [("key", "x\ty" * 100), ("longer", "c")]), Section("B", [("one", "two")])])
    first, second = "key\ta b\nlonger\tc\n", f"A\n  key     {'x y' * 100}\n  longer  c\n\nB\n  one  two\n"
    assert capfdbinary.readouterr().out.decode() == first + second


def test_one_line_is_cut_by_cells() -> None:
    assert one_line(" a\n\tb  c ") == "a b c"
    assert one_line("床前明月光" * 3, 9) == "床前明月…"
    assert cells(one_line("word 字 " * 1000)) <= 60

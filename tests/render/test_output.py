from __future__ import annotations

import json
import os
import re
import sys

import pytest

from aigc_cli.core.errors import AigcError, ExitStatus
from aigc_cli.core.events import Progress
from aigc_cli.render.output import DIM, RESET, Output, encodable, progress_line, show_error, wants_colour
from aigc_cli.render.width import cells


@pytest.mark.parametrize(
    ("environ", "is_terminal", "expected"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"NO_COLOR": "0"}, True, False),  # set is set, whatever it says
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": ""}, False, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True, True),
    ],
)
def test_who_wants_colour(monkeypatch, environ, is_terminal, expected):
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert wants_colour(is_terminal) is expected


def test_each_stream_is_asked_by_itself(screen):
    opened = screen(terminal="stderr")
    opened.output.write("result")
    opened.output.note("note")
    assert opened.stdout.text == "result"
    assert opened.stderr.text == f"{DIM}note{RESET}\n"


def test_quiet_hides_notes_and_thoughts_but_no_caution(screen):
    opened = screen(quiet=True)
    opened.output.note("note")
    opened.output.think("hm")
    opened.output.caution("dropped", "try less")
    opened.output.error("failed")
    assert opened.stderr.text == "aigc: dropped\n      try less\naigc: failed\n"


def test_details_are_for_those_who_asked(screen):
    for verbose in (False, True):
        opened = screen(verbose=verbose)
        opened.output.detail("loaded")
        assert opened.stderr.text == ("loaded\n" if verbose else "")


def test_a_message_cannot_drive_the_terminal(screen):
    opened = screen(terminal="stderr")
    opened.output.error("no model \x1b]0;evil\x07\u202ename", "see \x1b[2Jhelp")
    assert "no model name" in opened.stderr.text
    assert "see help" in opened.stderr.text


class TestThoughts:
    def test_are_dim_and_end_before_what_comes_next(self, screen):
        opened = screen(terminal="stdout stderr")
        opened.output.think("hm, ")
        opened.output.think("好")
        opened.output.write("Answer")
        assert opened.stderr.text == f"{DIM}hm, {RESET}{DIM}好{RESET}\n"

    def test_do_not_end_twice(self, screen):
        opened = screen()
        opened.output.think("hm\n")
        opened.output.write("Answer")
        opened.output.note("note")
        assert opened.stderr.text == "hm\nnote\n"

    def test_are_filtered_across_pieces_on_a_terminal_only(self, screen):
        for terminal, expected in (("stderr", "ab\n"), ("", "a\x1b]0;evil\x07b\n")):
            opened = screen(terminal=terminal)
            opened.output.stderr_colour = False
            opened.output.think("a\x1b]0;ev")
            opened.output.think("il\x07b")
            opened.output.end_thought()
            assert opened.stderr.text == expected

    def test_an_open_sequence_ends_with_its_thought(self, screen):
        opened = screen(terminal="stderr")
        opened.output.think("one\x1b]0;open")
        opened.output.write("answer")
        opened.output.think("two")
        assert f"{DIM}two{RESET}" in opened.stderr.text


class TestProgress:
    @pytest.mark.parametrize("width", [10, 20, 40, 79])
    @pytest.mark.parametrize("phase", ["download", "下载模型权重", "\x1b]0;evil\x07model.safetensors"])
    @pytest.mark.parametrize("total", [None, 0, 3_000_000])
    def test_a_bar_fits_its_width(self, phase, width, total):
        line = progress_line(Progress(phase=phase, done=1_500_000, total=total), width)
        assert cells(line) <= width
        assert "\x1b" not in line

    def test_a_bar_says_how_far(self):
        assert progress_line(Progress(phase="下载", done=1, total=4, unit="files"), 40).endswith("   25%  1 / 4")

    def test_is_drawn_on_a_terminal_only_and_cleared_by_what_comes_next(self, screen):
        opened = screen(terminal="stderr")
        opened.output.progress(Progress(phase="load", done=1, total=2))
        opened.output.write("text")
        assert opened.stderr.text.startswith("\r\x1b[Kload")
        assert opened.stderr.text.endswith("\r\x1b[K")
        for quiet, terminal in ((False, ""), (True, "stderr")):
            opened = screen(terminal=terminal, quiet=quiet)
            opened.output.progress(Progress(phase="load", done=1, total=2))
            assert opened.stderr.text == ""

    def test_a_status_line_is_cut_to_the_width(self, screen):
        opened = screen(terminal="stderr")
        opened.output.status("正在测量" * 20)
        assert cells(opened.stderr.text.removeprefix("\r\x1b[K")) <= 39


class TestDrawing:
    def test_several_lines_take_each_other_s_place(self, screen):
        opened = screen(terminal="stderr")
        opened.output.draw(["one", "two"])
        opened.output.draw(["three", "four"])
        opened.output.clear_progress()
        opened.output.clear_progress()
        assert opened.stderr.text == "\r\x1b[Kone\ntwo\r\x1b[1A\x1b[Jthree\nfour\r\x1b[1A\x1b[J"

    def test_lines_that_a_narrower_terminal_broke_are_taken_back_whole(self, screen, monkeypatch):
        opened = screen(terminal="stderr")
        opened.output.draw(["x" * 39, "字" * 15, ""])
        monkeypatch.setenv("COLUMNS", "20")
        opened.output.clear_progress()
        assert opened.stderr.text.endswith("\r\x1b[4A\x1b[J")

    @pytest.mark.parametrize(("terminal", "quiet", "term"), [("", False, "xterm"), ("stderr", True, "xterm"), ("stderr", False, "dumb")])
    def test_nothing_is_drawn_where_it_could_not_be_taken_back(self, screen, monkeypatch, terminal, quiet, term):
        opened = screen(terminal=terminal)
        monkeypatch.setenv("TERM", term)
        output = Output(quiet=quiet)
        output.draw(["one"])
        output.progress(Progress(phase="load", done=2, total=2))
        output.status("two")
        assert opened.stderr.text == ""

    def test_characters_that_the_terminal_lacks_have_plain_forms_of_their_width(self):
        assert encodable("━━╌ 2 · é", "ascii") == "==- 2 | ?"
        assert encodable("━ 字", "utf-8") == "━ 字"


def test_an_error_is_two_lines_and_an_event(screen):
    opened = screen(json=True)
    show_error(opened.output, AigcError("no such model", "see: aigc models list"), ExitStatus.MODEL)
    assert opened.stderr.text == "aigc: no such model\n      see: aigc models list\n"
    assert json.loads(opened.stdout.text) == {
        "event": "error",
        "t": 0.0,
        "message": "no such model",
        "hint": "see: aigc models list",
        "status": 3,
    }


def test_json_keeps_chinese_readable(screen):
    opened = screen()
    opened.output.write_json({"text": "你好"})
    assert opened.stdout.text == '{"text": "你好"}\n'


def test_remarks_wrap_between_words_on_a_narrow_terminal(screen):
    opened = screen(terminal="stderr")
    opened.output.error("the prompt has 2000 tokens; the model's context holds 1024", "allow a cut with --truncate oldest or 从中间截断")
    lines = re.sub(r"\x1b\[\d*m", "", opened.stderr.text).splitlines()
    assert lines == [
        "aigc: the prompt has 2000 tokens; the",
        "model's context holds 1024",
        "      allow a cut with --truncate oldest",
        "      or 从中间截断",
    ]


def test_a_path_is_not_broken_by_a_newline(screen):
    path = "out/红狐狸/0001-a-red-fox-in-the-snow-and-more.png"
    opened = screen(terminal="stderr")
    opened.output.note(f"contact sheet: {path} of all")
    assert re.sub(r"\x1b\[\d*m", "", opened.stderr.text).splitlines() == ["contact sheet:", path, "of all"]


def test_remarks_in_a_pipe_are_one_line_however_long(screen):
    opened = screen()
    opened.output.note("word " * 50)
    assert opened.stderr.text == "word " * 50 + "\n"


def test_a_terminal_that_does_not_know_its_size_has_the_usual_one(screen, monkeypatch):
    monkeypatch.delenv("COLUMNS")
    monkeypatch.setattr(os, "get_terminal_size", lambda descriptor: os.terminal_size((0, 0)))
    opened = screen(terminal="stderr")
    monkeypatch.setattr(sys.stderr, "fileno", lambda: 2)
    opened.output.note("word " * 12)
    assert len(opened.stderr.text.splitlines()) == 1

from __future__ import annotations

import pytest

from aigc_cli.render.width import cells, clip
from aigc_cli.render.wrap import LineWriter


def wrap(text: str, width: int, *, first: str = "", rest: str = "", style: str = "") -> list[str]:
    written: list[str] = []
    writer = LineWriter(written.append, lambda: width, colour=bool(style))
    writer.begin([(first, "")], [(rest, "")])
    writer.put(text, style)
    writer.end_line()
    return "".join(written).split("\n")[:-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abc", 3),
        ("中文", 4),
        ("e\u0301", 1),
        ("🙂", 2),
        ("👨\u200d👩\u200d👧", 2),
        ("🇨🇳", 2),
        ("❤\ufe0f", 2),
        ("\u200b", 0),
        ("\x1b[1m中\x1b[0m", 2),
    ],
)
def test_cells_count_what_a_reader_sees(text, expected):
    assert cells(text) == expected


def test_clip_never_halves_a_character():
    assert clip("中文字", 5) == "中文"
    assert clip("ae\u0301b", 2) == "ae\u0301"


def test_words_wrap_and_spaces_at_the_end_go():
    assert wrap("the quick  brown fox ", 9) == ["the quick", "brown fox"]


def test_chinese_breaks_anywhere_but_before_closing_punctuation():
    assert wrap("这是一个测试。", 12) == ["这是一个测", "试。"]
    assert wrap("他说（真的）好", 6) == ["他说", "（真", "的）好"]
    assert wrap("用aigc来写", 6) == ["用aigc", "来写"]


def test_a_word_longer_than_a_line_is_cut():
    assert wrap("see https://example.com/x", 8) == ["see", "https://", "example.", "com/x"]


def test_no_line_begins_with_a_combining_mark():
    assert wrap("e\u0301" * 6, 4) == ["e\u0301" * 4, "e\u0301" * 2]
    assert wrap("👨\u200d👩\u200d👧" * 3, 4) == ["👨\u200d👩\u200d👧" * 2, "👨\u200d👩\u200d👧"]


def test_the_lines_after_the_first_hang():
    assert wrap("one two three", 10, first="1. ", rest="   ") == ["1. one two", "   three"]


def test_what_stands_before_a_line_leaves_half_of_a_narrow_terminal():
    assert wrap("one two", 8, first="      - ", rest="        ")[0].strip() == "one two"


def test_each_line_switches_its_style_off():
    assert wrap("one two", 4, style="1") == ["\x1b[1mone\x1b[0m", "\x1b[1mtwo\x1b[0m"]

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from aigc_cli.render.markdown import MarkdownStream
from aigc_cli.render.width import cells

GOLDEN = Path(__file__).parent / "golden"
ANSWER = (GOLDEN / "answer.md").read_text(encoding="utf-8")
VERBATIM = re.compile(r"^ *(```|\$\$).*?^ *(```|\$\$)$", re.DOTALL | re.MULTILINE)

DOCUMENTS = {
    "answer": ANSWER,
    "english": "The *quick* brown fox **jumps over** the lazy dog. " * 12,
    "chinese": "## 标题\n\n大语言模型（LLM）可以**生成文本**，例如：“诗歌”、《小说》等。\n\n" + "床前明月光，疑是地上霜。" * 20,
    "lists": "- one\n  - two\n    - three is long enough to wrap on a narrow terminal\n\n      still three\n- four\n\n10. ten\n11. 十一\n",
    "quotes": "> one\n> > two 二二二二二二二二二二二二二\n>\n> - item\n>   ```\n>   code\n>   ```\n\nafter",
    "unfinished": "a **bold `code [link](http://",
    "odd": "|not a table\n\n#no heading\n\n-no item\n\n```\nunclosed\n",
}


def draw(*pieces: str, width: int = 80, colour: bool = True) -> str:
    written: list[str] = []
    stream = MarkdownStream(written.append, lambda: width, colour=colour)
    for piece in pieces:
        stream.feed(piece)
    stream.finish()
    return "".join(written)


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def shown(source: str, width: int = 80) -> list[str]:
    """The lines on the screen, without their colours."""
    return plain(draw(source, width=width)).split("\n")[:-1]


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("name", DOCUMENTS)
class TestEveryDocument:
    def test_looks_the_same_however_it_is_cut(self, name, width):
        source = DOCUMENTS[name]
        whole = draw(source, width=width)
        assert draw(*source, width=width) == whole
        cut = random.Random(width)
        for _ in range(2):
            at = sorted(cut.choices(range(len(source) + 1), k=20))
            assert draw(*(source[a:b] for a, b in zip([0, *at], [*at, None], strict=True)), width=width) == whole

    def test_fits_the_terminal(self, name, width):
        assert max(map(cells, shown(VERBATIM.sub("", DOCUMENTS[name]), width))) <= width

    @pytest.mark.parametrize("colour", [True, False])
    def test_loses_no_word(self, name, width, colour):
        words = re.sub(r"\W", "", VERBATIM.sub("", DOCUMENTS[name]).replace("|", ""))
        drawn = re.sub(r"\W", "", plain(draw(VERBATIM.sub("", DOCUMENTS[name]), width=width, colour=colour)))
        if "---:" not in DOCUMENTS[name]:  # a table's words change places
            assert drawn == words
        assert set(words) <= set(drawn)

    def test_has_no_escapes_without_colour(self, name, width):
        assert "\x1b" not in draw(DOCUMENTS[name], width=width, colour=False)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_interrupted_answer_leaves_the_terminal_clean(name):
    source = DOCUMENTS[name]
    for end in range(0, len(source), 1 + len(source) // 40):
        drawn = draw(source[:end], width=40)
        assert not drawn.strip() or drawn.endswith("\n")
        assert all(line.rfind("\x1b[0m") >= line.rfind("\x1b[") for line in drawn.split("\n"))


@pytest.mark.parametrize("width", [40, 100])
def test_an_answer_looks_as_it_did(width):
    """After a wanted change: look at the difference, then write the new text into the file."""
    golden = GOLDEN / f"answer-{width}.txt"
    assert plain(draw(ANSWER, width=width)) == golden.read_text(encoding="utf-8")


def test_nothing_is_drawn_twice_and_the_cursor_never_moves():
    drawn = plain(draw(*ANSWER, width=40))
    assert drawn.count("graph") == ANSWER.count("graph")
    assert not set(drawn) & set("\x1b\r\x08")


def test_text_goes_out_word_by_word():
    written: list[str] = []
    stream = MarkdownStream(written.append, lambda: 80, colour=True)
    stream.feed("one two thr")
    assert "".join(written) == "one two"
    stream.feed("ee\n")
    assert "".join(written) == "one two three\n"
    stream.feed("- 第一")
    assert "".join(written).endswith("• 第")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("# Title\ntext", ["Title", "text"]),
        ("#hashtag", ["#hashtag"]),
        ("one\ntwo", ["one", "two"]),
        ("one\n\n\n\ntwo\n\n", ["one", "", "two"]),
        ("- a\n* b\n+ c", ["• a", "• b", "• c"]),
        ("1. a\n   - b\n2) c", ["1. a", "   • b", "2) c"]),
        ("1. a\n  - b", ["1. a", "   • b"]),
        ("- a\n    - b\n        - c\n    - d", ["• a", "  ◦ b", "    ▪ c", "  ◦ d"]),
        ("- a\n\n  more\n\nafter", ["• a", "", "  more", "", "after"]),
        ("- a\nlazy", ["• a", "  lazy"]),
        ("-\n- b", ["• ", "• b"]),
        ("2023. Was a year", ["2023. Was a year"]),
        ("-5 degrees\n3.14 is pi", ["-5 degrees", "3.14 is pi"]),
        ("> a\n> b\n\nc", ["│ a", "│ b", "", "c"]),
        ("> a\n>\n> b", ["│ a", "│", "│ b"]),
        ("- > a\n  > b", ["• │ a", "  │ b"]),
        ("a\n\n---\n\nb", ["a", "", "─" * 40, "", "b"]),
        ("* * *", ["─" * 40]),
        ("**bold** first\n***\n", ["bold first", "─" * 40]),
        ("text\n\n    code  as it is\n", ["text", "", "    code  as it is"]),
        ("<div>\n<b>x</b>\n</div>", ["<div>", "<b>x</b>", "</div>"]),
        ("$$\na_1 * b_2 * c\n$$\n*after*", ["$$", "a_1 * b_2 * c", "$$", "after"]),
        ("\\[\nx*y*z\n\\]", ["\\[", "x*y*z", "\\]"]),
        ("```\na\n\n  b*c*\n```\nd", ["─" * 40, "a", "", "  b*c*", "─" * 40, "d"]),
        ("~~~js\nlet a\n~~~", ["── js ".ljust(40, "─"), "let a", "─" * 40]),
        ("````\n```\n````", ["─" * 40, "```", "─" * 40]),
        ("```sh", ["── sh ".ljust(40, "─"), "─" * 40]),
        ("```code``` inline", ["code inline"]),
        ("1. a\n   ```\n   x\n     y\n   ```\n2. b", ["1. a", "   " + "─" * 40, "   x", "     y", "   " + "─" * 40, "2. b"]),
        ("> ```\n> x\nout", ["│ " + "─" * 40, "│ x", "│ " + "─" * 40, "out"]),
        ("", []),
        ("\n\n", []),
    ],
)
def test_blocks(source, expected):
    assert shown(source) == expected


class TestTables:
    def test_columns_are_aligned_by_cells(self):
        source = "| 名称 | n |\n|:--|--:|\n| 贝塔 | 1 |\n| a | 22 |\nafter"
        assert shown(source) == ["名称 │  n", "─────┼───", "贝塔 │  1", "a    │ 22", "after"]

    def test_cells_wrap_where_the_terminal_is_narrow(self):
        source = "| a | b |\n|---|---|\n| x | one two three four |\n| y | five |"
        assert shown(source, 20) == [
            "a │ b",
            "──┼─────────────────",
            "x │ one two three",
            "  │ four",
            "──┼─────────────────",
            "y │ five",
        ]

    def test_a_list_takes_its_place_where_columns_would_be_too_narrow(self):
        source = "| name | size | licence |\n|--|--|--|\n| 一号模型 | 12 GiB | Apache-2.0 |\n| b | 2 | MIT |"
        assert shown(source, 20) == ["name: 一号模型", "size: 12 GiB", "licence: Apache-2.0", "", "name: b", "size: 2", "licence: MIT"]

    def test_markup_breaks_and_escaped_bars_in_cells(self):
        source = "| a | b |\n|--|--|\n| **x** `y` | p\\|q<br>r |"
        assert shown(source) == ["a   │ b", "────┼────", "x y │ p|q", "    │ r"]

    def test_ragged_rows_lose_nothing(self):
        assert shown("| a | b |\n|--|--|\n| 1 |\n| 1 | 2 | 3 |") == ["a │ b", "──┼──────", "1 │ ", "1 │ 2 | 3"]

    def test_an_interrupted_table_is_drawn_as_far_as_it_came(self):
        assert shown("| a | b |\n|--|--|\n| 1 | 2") == ["a │ b", "──┼──", "1 │ 2"]

    def test_rows_without_delimiters_are_text(self):
        assert shown("| a | b |\n| 1 | 2 |\nc") == ["| a | b |", "| 1 | 2 |", "c"]


def test_code_is_coloured_also_over_lines():
    drawn = draw('```python\ns = """one\ntwo"""\ndef f(): pass\n```\n')
    assert "\x1b[32mtwo" in drawn
    assert "\x1b[35mdef\x1b[0m \x1b[34mf\x1b[0m" in drawn


def test_an_unknown_language_stays_plain():
    assert "x = 1\n" in draw("```nosuchlanguage\nx = 1\n```\n")


def test_without_colour_the_markers_stay():
    assert draw("## Title\n- **a** `b` [c](d)\n", colour=False) == "## Title\n• **a** `b` [c](d)\n"


def test_control_characters_are_dropped_wherever_they_are_cut():
    assert draw("a\x1b]0;ev", "il\x07b \x1b[2", "Jc\n", colour=False) == "ab c\n"


def test_the_width_is_asked_for_again_when_the_window_changes():
    widths = iter([10] * 3 + [40] * 99)
    written: list[str] = []
    stream = MarkdownStream(written.append, lambda: next(widths), colour=False)
    stream.feed("one two three four five six seven eight nine ten")
    stream.finish()
    assert "".join(written).split("\n")[-2] == "three four five six seven eight nine ten"[-40:]


def test_endless_markers_cost_little():
    for marker in ("[", "*a ", "**a", "`", "_a *b ", "[a](", "\\(", "$a ", "> ", "- ", "1. ", "|", "#"):
        assert draw(marker * 1000, width=40)

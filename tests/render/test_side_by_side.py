"""Two answers in columns."""

from __future__ import annotations

from aigc_cli.render.side_by_side import fits_side_by_side, side_by_side
from aigc_cli.render.width import cells


def test_each_answer_has_its_column() -> None:
    drawn = side_by_side([("base", "one two"), ("tuned", "**你好**，世界\n\nthe end")], 79, colour=False)
    assert [line.rstrip() for line in drawn.splitlines()] == [
        "base" + " " * 34 + " │ tuned",
        "one two" + " " * 31 + " │ **你好**，世界",
        " " * 38 + " │",
        " " * 38 + " │ the end",
    ]


def test_long_chinese_answers_stay_in_their_columns() -> None:
    drawn = side_by_side([("base", "床前明月光，疑是地上霜。" * 8), ("tuned", "word " * 40)], 79, colour=True)
    assert all(cells(line) <= 79 for line in drawn.splitlines())
    assert len({cells(line.partition("│")[0]) for line in drawn.splitlines()}) == 1


def test_lines_that_do_not_fit_put_the_answers_below_each_other() -> None:
    drawn = side_by_side([("base", "```\n" + "x" * 60 + "\n```"), ("tuned", "short")], 79, colour=False)
    assert "│" not in drawn
    assert "x" * 60 in drawn
    assert drawn.index("base") < drawn.index("tuned") < drawn.index("short")


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in side_by_side([("\x1b[2Jbase", "\x1b[2Jtext"), ("b", "c")], 79, colour=False)


def test_a_narrow_terminal_has_no_columns() -> None:
    assert fits_side_by_side(2, 79)
    assert not fits_side_by_side(2, 60)

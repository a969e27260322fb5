from __future__ import annotations

from itertools import groupby

import pytest

from aigc_cli.render.inline import LONGEST, InlineParser
from aigc_cli.render.wrap import BOLD, CYAN, DIM, ITALIC, STRIKE, UNDERLINE, join_styles

BOTH = join_styles(BOLD, ITALIC)


def spans(text: str) -> list[tuple[str, str]]:
    parser = InlineParser()
    found = [*parser.feed(text), *parser.finish()]
    return [("".join(text for text, _ in group), style) for style, group in groupby(found, key=lambda span: span[1])]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a **b c** d", [("a ", ""), ("b c", BOLD), (" d", "")]),
        ("*a* and _b_", [("a", ITALIC), (" and ", ""), ("b", ITALIC)]),
        ("***a***", [("a", BOTH)]),
        ("**a *b***", [("a ", BOLD), ("b", BOTH)]),
        ("**_a_**", [("a", BOTH)]),
        ("__two words__", [("two words", BOLD)]),
        ("~~old~~ new", [("old", STRIKE), (" new", "")]),
        ("`a*b*c`", [("a*b*c", CYAN)]),
        ("`` a`b ``", [("a`b", CYAN)]),
        ("**see `x**y`**", [("see ", BOLD), ("x**y", join_styles(BOLD, CYAN))]),
        ("[text](http://a_b_c/(d))", [("text", UNDERLINE), (" (http://a_b_c/(d))", DIM)]),
        ("[http://a](http://a)", [("http://a", UNDERLINE)]),
        ('![alt](u "title").', [("alt", UNDERLINE), (" (u)", DIM), (".", "")]),
        ("这是**粗体。**后面", [("这是", ""), ("粗体。", BOLD), ("后面", "")]),
        ("**over\ntwo lines**", [("over\ntwo lines", BOLD)]),
        (r"\*not\* \# \\", [("*not* # \\", "")]),
    ],
)
def test_markers_become_styles(text, expected):
    assert spans(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "2 * 3 * 4",
        "2*3*4 and 2**8**2",
        "snake_case_name and __init__",
        "*args and **kwargs",
        "a * b* c",
        "5 ** 2",
        "~5 and ~6",
        "[1] and a[i](",
        "an unclosed `tick and *star and [bracket",
        "it costs $5 and $10",
        r"\(a_1 * b_2 * c\) and \[x*y*z\]",
        "$a_1*b*c$ and $$x*y*z$$",
        "C:\\dir <b>bold</b> &amp;",
        "!",
    ],
)
def test_what_is_no_markup_stays(text):
    assert spans(text) == [(text, "")]


def test_a_marker_is_held_back_only_until_it_is_decided():
    parser = InlineParser()
    assert "".join(text for text, _ in parser.feed("a **bold")) == "a "
    assert not list(parser.feed("**"))  # a third star would change it
    assert next(parser.feed(" ")) == ("bold", BOLD)


def test_a_long_bold_begins_before_it_ends():
    parser = InlineParser()
    early = list(parser.feed("**" + "word " * LONGEST))
    assert early
    assert {style for _, style in early} == {BOLD}
    assert list(parser.feed("end** after"))[-1] == ("r", "")


def test_a_long_wait_ends_with_the_marker_shown():
    parser = InlineParser()
    assert "".join(text for text, _ in parser.feed("*args " + "word " * LONGEST)).startswith("*args word")

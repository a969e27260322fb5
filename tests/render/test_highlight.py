"""Code in colour, line by line."""

from __future__ import annotations

from aigc_cli.render.highlight import LONGEST_CONTEXT, STYLES, Highlighter


def test_a_long_string_stays_one_and_costs_little() -> None:
    code = Highlighter("python")
    code.line("def story():")
    code.line('    text = """第一行')
    for number in range(3 * LONGEST_CONTEXT):
        assert code.line(f"line {number}") == [(f"line {number}", STYLES["Literal.String"])]
        assert code.context.count("\n") <= LONGEST_CONTEXT + 1
    code.line('    """')
    assert ("return", STYLES["Keyword"]) in code.line("    return text")


def test_long_code_without_a_margin_costs_little() -> None:
    code = Highlighter("python")
    for number in range(3 * LONGEST_CONTEXT):
        assert (str(number), STYLES["Literal.Number"]) in code.line(f"    x = {number}")
        assert code.context.count("\n") <= LONGEST_CONTEXT + 1

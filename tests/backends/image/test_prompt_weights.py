"""Brackets in prompts."""

from __future__ import annotations

import pytest

from aigc_cli.backends.image.prompt_weights import has_numbers, parse


@pytest.mark.parametrize(
    ("prompt", "fragments"),
    [
        ("", []),
        ("a fox", [("a fox", 1.0)]),
        ("a (red) fox", [("a ", 1.0), ("red", 1.1), (" fox", 1.0)]),
        ("a ((red)) fox", [("a ", 1.0), ("red", 1.21), (" fox", 1.0)]),
        ("[grey] fox", [("grey", 1 / 1.1), (" fox", 1.0)]),
        ("(red:1.3) fox", [("red", 1.3), (" fox", 1.0)]),
        ("(a (red:1.5) fox:0.8)", [("a ", 0.8), ("red", 1.2), (" fox", 0.8)]),
        ("(red:1.0) fox", [("red fox", 1.0)]),
        ("(red : .5)", [("red ", 0.5)]),
        (r"a \(red\) \[fox\] \\", [(r"a (red) [fox] \\"[:-1], 1.0)]),
        ("a (red fox", [("a (red fox", 1.0)]),
        ("a red) fox]", [("a red) fox]", 1.0)]),
        ("([a) b]", [("[a", 1.1), (" b]", 1.0)]),
        ("(:1.2)", []),
        ("time 12:30", [("time 12:30", 1.0)]),
        ("(red: fox)", [("red: fox", 1.1)]),
        ("一只(红色:1.3)的[狐狸]", [("一只", 1.0), ("红色", 1.3), ("的", 1.0), ("狐狸", 1 / 1.1)]),
        ("(" * 2000 + "a", [("(" * 2000 + "a", 1.0)]),
    ],
)
def test_brackets_weigh_what_stands_in_them(prompt: str, fragments: list[tuple[str, float]]) -> None:
    found = parse(prompt)
    assert [fragment.text for fragment in found] == [text for text, _ in fragments]
    assert [fragment.weight for fragment in found] == pytest.approx([weight for _, weight in fragments])


@pytest.mark.parametrize(("prompt", "expected"), [("(red:1.3)", True), ("a cat (orange) [1999]", False), ("at 12:30)", False)])
def test_only_a_number_is_a_weight_for_sure(prompt: str, expected: bool) -> None:
    assert has_numbers(prompt) is expected

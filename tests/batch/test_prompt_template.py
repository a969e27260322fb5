"""Alternatives within a prompt."""

from __future__ import annotations

import pytest

from aigc_cli.batch.prompt_template import combinations, count_combinations, parse
from aigc_cli.batch.wildcards import Wildcards, draw
from aigc_cli.core.errors import UsageError


def spelled(text: str) -> list[str]:
    template = parse(text)
    prompts = [draw(each, 0, Wildcards()) for each in combinations(template)]
    assert count_combinations(template) == len(prompts)
    return prompts


@pytest.mark.parametrize(
    ("text", "prompts"),
    [
        ("a fox", ["a fox"]),
        ("", [""]),
        ("a {red|blue} house, {oil|ink}", ["a red house, oil", "a red house, ink", "a blue house, oil", "a blue house, ink"]),
        ("{红|蓝}色的房子", ["红色的房子", "蓝色的房子"]),
        ("{a|{b|c}d|}", ["a", "bd", "cd", ""]),
        ("{one}", ["one"]),
        ("this | that", ["this | that"]),
        (r"\{a|b\} {c\|d|e}", ["{a|b} c|d", "{a|b} e"]),
        (r"\(a\) (b:1.3) \\{c|d}", [r"\(a\) (b:1.3) \\c", r"\(a\) (b:1.3) \\d"]),
        (r"\__init__ snake_case", ["__init__ snake_case"]),
        ("a :: b {1:2|c}", ["a :: b 1:2", "a :: b c"]),
        ("{a\nb|c}", ["a\nb", "c"]),
    ],
)
def test_every_combination_is_spelled_out(text: str, prompts: list[str]) -> None:
    assert spelled(text) == prompts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a {b|c", r"the prompt's \{ at character 3 has no partner"),
        ("a {b|{c}", r"the prompt's \{ at character 3 has no partner"),
        ("猫} b", r"the prompt's \} at character 2 has no partner"),
        ("{0::a|0::b}", "all weights of a choice are 0"),
        ("{" * 100_000 + "}" * 100_000, "more than 32 braces"),
    ],
)
def test_malformed_prompts(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parse(text)
    assert caught.value.hint


def test_combinations_are_counted_without_being_made() -> None:
    assert count_combinations(parse("{a|b|c|d}" * 60)) == 4**60


def test_weights_draw_one_by_the_seed() -> None:
    template = parse("{3:: day|1::night|0::never} {x|y}")
    assert count_combinations(template) == 2
    first, second = combinations(template)
    drawn = [draw(first, seed, Wildcards()) for seed in range(1000)]
    assert set(drawn) == {" day x", "night x"}
    assert 700 < drawn.count(" day x") < 800
    assert [draw(first, seed, Wildcards()) for seed in range(1000)] == drawn
    assert [text.replace("x", "y") for text in drawn] == [draw(second, seed, Wildcards()) for seed in range(1000)]


def test_alternatives_within_weighted_ones_are_drawn_too() -> None:
    template = parse("{1::{a|b}|1::c}")
    assert count_combinations(template) == 1
    drawn = [draw(template, seed, Wildcards()) for seed in range(2000)]
    assert [round(drawn.count(letter) / 500) for letter in "abc"] == [1, 1, 2]


def test_what_a_seed_draws_never_changes() -> None:
    template = parse("{2::a|1::b|1::c}{1::d|1::e}")
    assert [draw(template, seed, Wildcards()) for seed in range(8)] == ["ce", "ae", "ce", "ae", "ad", "be", "ce", "ad"]

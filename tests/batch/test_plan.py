"""Which pictures a run draws, with which seeds, under which identity, and which of them together."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from aigc_cli.batch.plan import Common, Item, check_row, groups, plan_items
from aigc_cli.batch.rows import PromptRow
from aigc_cli.batch.wildcards import Wildcards
from aigc_cli.core.errors import UsageError
from aigc_cli.core.image import SEEDS, ImageRequest


def plan(
    *rows: str | dict[str, Any], seed: int = 7, identity: dict[str, Any] | None = None, earlier: Any = None, **common: Any
) -> tuple[Item, ...]:
    values = [row if isinstance(row, dict) else {"prompt": row} for row in rows]
    made = [PromptRow(each, f"ideas.csv:{line}") for line, each in enumerate(values, 2)]
    return plan_items(made, Common(**common), seed=seed, identity=identity or {"revision": "abc"}, earlier=earlier or {})


def seeds(items: tuple[Item, ...]) -> list[int]:
    return [item.request.seed for item in items]


def keys(items: tuple[Item, ...]) -> list[str]:
    return [item.key for item in items]


def test_combinations_share_their_seeds() -> None:
    items = plan("a {red|blue} house, {oil painting|watercolour}", n=4)
    assert len(items) == 16
    assert seeds(items) == [7, 8, 9, 10] * 4
    assert [item.request.prompt for item in items[::4]] == [
        "a red house, oil painting",
        "a red house, watercolour",
        "a blue house, oil painting",
        "a blue house, watercolour",
    ]
    assert {item.typed for item in items} == {"a {red|blue} house, {oil painting|watercolour}"}
    assert [item.index for item in items] == list(range(16))


def test_seeds_count_on_from_row_to_row_and_a_row_may_have_its_own() -> None:
    items = plan("a", {"prompt": "b", "seed": 100, "n": 2}, "{c|d}", {"prompt": "e", "n": 3}, "f")
    assert seeds(items) == [7, 100, 101, 10, 10, 11, 12, 13, 14]
    assert [item.origin for item in items][-1] == "ideas.csv:6"


def test_a_rows_own_seed_moves_no_other() -> None:
    assert seeds(plan("a", {"prompt": "b", "seed": 5}, "c"))[2] == seeds(plan("a", "b", "c"))[2]


def test_seeds_begin_anew_behind_the_last() -> None:
    assert seeds(plan("a", n=3, seed=SEEDS - 2)) == [SEEDS - 2, SEEDS - 1, 0]


def test_settings_yield_to_the_row_and_the_matrix_multiplies() -> None:
    matrix = ({"scheduler": "euler", "seed": 1}, {"scheduler": "ddim", "seed": 2})
    items = plan("a", {"prompt": "b", "steps": 5}, settings={"steps": 20, "width": 64}, matrix=matrix)
    assert [(item.request.steps, item.request.width, item.request.scheduler, item.request.seed) for item in items] == [
        (20, 64, "euler", 1),
        (20, 64, "ddim", 2),
        (5, 64, "euler", 1),
        (5, 64, "ddim", 2),
    ]


def test_variations_keep_the_seed_and_count_the_other() -> None:
    items = plan({"prompt": "a", "variation": 0.1}, {"prompt": "b", "variation": 0.1, "variation_seed": 50}, n=2)
    assert [(item.request.seed, item.request.variation_seed) for item in items] == [(7, 8), (7, 9), (9, 50), (9, 51)]


def test_a_wildcard_is_drawn_by_the_pictures_seed_and_recorded(tmp_path: Path) -> None:
    (tmp_path / "animal.txt").write_text("狐狸\n猫\n狗\n")
    one = plan("{red|blue} __animal__", n=5, wildcards=Wildcards([tmp_path]))
    prompts = [item.request.prompt for item in one]
    assert [prompt.removeprefix("red ") for prompt in prompts[:5]] == [prompt.removeprefix("blue ") for prompt in prompts[5:]]
    assert len(set(prompts)) > 2
    assert plan("{red|blue} __animal__", n=5, wildcards=Wildcards([tmp_path])) == one
    assert prompts[3] == plan("red __animal__", seed=10, wildcards=Wildcards([tmp_path]))[0].request.prompt


@pytest.mark.parametrize(
    "other",
    [
        plan("b"),
        plan("a", seed=8),
        plan("a", settings={"steps": 5}),
        plan({"prompt": "a", "filename": "x"}),
        plan("a", identity={"revision": "abd"}),
        plan("a", identity={"revision": "abc", "adapters": ["x"]}),
    ],
)
def test_whatever_decides_the_picture_decides_its_key(other: tuple[Item, ...]) -> None:
    assert keys(plan("a")) != keys(other)


def test_keys_depend_on_nothing_else() -> None:
    first = plan("a", "b", n=2)
    assert keys(first)[2:] == keys(plan("b", seed=9, n=2))
    assert keys(first) == keys(plan("a", "b", "c", n=2))[:4]
    assert first[0].key == "72d4bbb055a2207a1d0175aed1221e21ed111c813c212d645df50b81a17bd9db"


def test_equal_rows_are_pictures_of_their_own() -> None:
    row = {"prompt": "猫", "seed": 3}
    items = plan(row, row, row)
    assert len(set(keys(items))) == 3
    assert keys(items)[:2] == keys(plan(row, row))


def test_a_picture_to_begin_with_counts_by_its_content(tmp_path: Path) -> None:
    photo, other = tmp_path / "a.png", tmp_path / "b.png"
    photo.write_bytes(b"one")
    other.write_bytes(b"one")
    before = keys(plan({"prompt": "a", "init_image": photo}))
    assert keys(plan({"prompt": "a", "init_image": other})) == before
    photo.write_bytes(b"two")
    assert keys(plan({"prompt": "a", "init_image": photo})) != before
    photo.unlink()
    with pytest.raises(UsageError, match=r"a\.png: no such file"):
        plan({"prompt": "a", "init_image": photo})


def test_too_many_pictures_are_refused_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="that makes 4,294,967,296 pictures, and a run draws 100,000 at most"):
        plan("{a|b}" * 30, n=4)
    monkeypatch.setattr("aigc_cli.batch.plan.MAX_RESULTS", 32)
    assert len(plan("{a|b}" * 3, n=4)) == 32
    with pytest.raises(UsageError, match="that makes 33 pictures"):
        plan("{a|b}" * 3, {"prompt": "c", "n": 1}, n=4)


@pytest.mark.parametrize(
    ("values", "common", "message"),
    [
        ({"steps": 5}, {"matrix": ({"steps": 1}, {"steps": 2})}, "--steps is given, and --matrix steps too"),
        ({"strength": 0.5}, {}, "--strength belongs to --init-image"),
        ({"seed": -1}, {}, "--seed must be at least 0"),
        ({"variation": 0.5, "variation_seed": 2**32}, {}, "--variation-seed must be at least 0"),
        ({}, {"matrix": ({"steps": 1}, {"steps": 0})}, "--steps must be at least 1"),
        ({"prompt": "{a"}, {}, "the prompt's { at character 1 has no partner"),
        ({"prompt": "__x__"}, {}, "there is no folder to look for the wildcard"),
    ],
)
def test_rows_that_cannot_be_drawn(values: dict[str, Any], common: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_row(PromptRow({"prompt": "a", **values}), Common(**common))
    assert caught.value.message.startswith(message)


def test_options_that_contradict_the_matrix() -> None:
    with pytest.raises(UsageError, match="--guidance-scale is given, and --matrix guidance_scale too"):
        Common(settings={"guidance_scale": 5.0, "steps": None}, matrix=({"guidance_scale": 5.0},))
    with pytest.raises(UsageError, match="-n must be at least 1"):
        Common(n=0)


def by_width(request: ImageRequest) -> int | None:
    return request.width


def test_groups_are_of_one_kind_and_in_order() -> None:
    items = plan(*({"prompt": str(number), "width": (64, 128)[number in (1, 4)]} for number in range(7)))
    formed = groups(items, by_width, lambda request: 2)
    assert [[item.index for item in group] for group in formed] == [[0, 2], [1, 4], [3, 5], [6]]
    assert groups((), by_width, lambda request: 2) == []
    changed = [dataclasses.replace(item, request=dataclasses.replace(item.request, width=64)) for item in items]
    assert [len(group) for group in groups(changed, by_width, lambda request: 3)] == [3, 3, 1]

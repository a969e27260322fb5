"""Words drawn from files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aigc_cli.batch.prompt_template import parse
from aigc_cli.batch.wildcards import Wildcards, draw
from aigc_cli.core.errors import UsageError

Write = Callable[[str, str | bytes], Path]


def test_a_wildcard_stands_for_a_line_of_its_file(write: Write, tmp_path: Path) -> None:
    write("w/动物.txt", "\ufeff# beasts\n狐狸\r\n\n 3::猫 \nthe {big|small} __more/dog__\n")
    write("w/more/dog.txt", "dog\n")
    wildcards, template = Wildcards([tmp_path / "none", tmp_path / "w"]), parse("一只__动物__, __动物__")
    wildcards.check(template)
    drawn = [draw(template, seed, wildcards) for seed in range(1000)]
    firsts = [text.removeprefix("一只").split(", ")[0] for text in drawn]
    assert set(firsts) == {"狐狸", "猫", "the big dog", "the small dog"}
    assert 550 < firsts.count("猫") < 650
    assert any(text == "一只狐狸, 猫" for text in drawn)
    assert drawn == [draw(template, seed, Wildcards([tmp_path / "w"])) for seed in range(1000)]


def test_the_first_folder_that_has_the_file_counts(write: Write, tmp_path: Path) -> None:
    write("a/x.txt", "mine\n")
    write("b/x.txt", "theirs\n")
    assert draw(parse("__x__"), 0, Wildcards([tmp_path / "a", tmp_path / "b"])) == "mine"


def refused(prompt: str, *folders: Path) -> str:
    with pytest.raises(UsageError) as caught:
        Wildcards(folders).check(parse(prompt))
    return f"{caught.value.message} ({caught.value.hint})"


def test_missing_files_offer_the_nearest(write: Write, tmp_path: Path) -> None:
    write("w/animal.txt", "fox\n")
    write("w/color.txt", "red\n")
    assert "there is no wildcard 'animals'" in refused("{a|__animals__}", tmp_path / "w")
    assert "did you mean animal?" in refused("__animals__", tmp_path / "w")
    assert "there is: animal, color" in refused("__天__", tmp_path / "w")
    assert "there is no .txt file" in refused("__x__", tmp_path / "none")
    assert "there is no folder to look for the wildcard __x__ in" in refused("__x__")


@pytest.mark.parametrize("name", ["../secret", "/etc/x", "a/../../secret"])
def test_names_stay_within_the_folders(write: Write, tmp_path: Path, name: str) -> None:
    write("secret.txt", "s\n")
    write("w/a/x.txt", "s\n")
    assert "there is no wildcard" in refused(f"__{name}__", tmp_path / "w")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# none\n\n", "x.txt holds nothing to draw"),
        (b"ok\n{a|b\n", "x.txt:2: the prompt's { at character 1 has no partner"),
        ("你好".encode("gb18030"), "x.txt: not UTF-8 at byte 0"),
        (b"a\0b\n", "x.txt: a NUL byte at byte 1"),
        (b"0::a\n0::b\n", "all weights of a choice are 0"),
        (b"a\nb __x__\n", "wildcards lead back to themselves: x -> x"),
    ],
)
def test_bad_files_are_found_before_anything_is_drawn(write: Write, tmp_path: Path, content: bytes, message: str) -> None:
    write("w/x.txt", content)
    assert message in refused("__x__", tmp_path / "w")


def test_circles_are_named(write: Write, tmp_path: Path) -> None:
    for name, line in (("a", "__b__"), ("b", "x {y|__c__}"), ("c", "z\n__b__")):
        write(f"w/{name}.txt", line)
    assert "lead back to themselves: b -> c -> b" in refused("__a__", tmp_path / "w")


def test_growth_without_end_is_stopped(write: Write, tmp_path: Path) -> None:
    for number in range(40):
        write(f"w/x{number}.txt", f"__x{number + 1}____x{number + 1}__")
    write("w/x40.txt", "ha")
    wildcards, template = Wildcards([tmp_path / "w"]), parse("__x0__")
    wildcards.check(template)
    with pytest.raises(UsageError, match="more than 10000 parts"):
        draw(template, 0, wildcards)

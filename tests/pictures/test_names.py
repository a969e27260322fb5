from __future__ import annotations

import unicodedata

import pytest

from aigc_cli.core.errors import UsageError
from aigc_cli.pictures.names import TEMPLATE, check_name, check_template, fill_in, refuse_existing, slug, told_apart


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("A red fox, in the snow!", "a-red-fox-in-the-snow"),
        ("一只红狐狸，雪地", "一只红狐狸-雪地"),
        ("(fox:1.3) <lora:x:0.7>", "fox-1-3-lora-x-0-7"),
        ("../../etc/passwd", "etc-passwd"),
        ("cafe\u0301", "caf\u00e9"),
        ("🦊!?", "picture"),
        ("", "picture"),
        ("a\nb\tc\0d", "a-b-c-d"),
    ],
)
def test_slugs(prompt, expected):
    assert slug(prompt) == expected


def test_a_long_slug_is_cut_between_characters():
    assert slug("狐" * 50) == "狐" * 26  # 78 bytes
    assert slug("ab " * 40).endswith("ab")
    assert len(slug("x" * 300)) == 80
    assert slug("नमस्ते" * 20, 20) == "नमस्ते"  # a vowel sign stays with its letter


def test_the_usual_template():
    assert fill_in(TEMPLATE, {"index": 3, "seed": 7, "prompt": "Red fox"}, ".png") == "0003-red-fox-7.png"


def test_values_cannot_leave_the_folder():
    name = fill_in("{model}-{scheduler}", {"model": "../org/模型:1", "scheduler": "dpm++2m", "prompt": ""}, ".png")
    assert name == ".._org_模型_1-dpm++2m.png"
    assert fill_in("{slug}", {"prompt": "CON"}, ".webp") == "_con.webp"


@pytest.mark.parametrize("template", [TEMPLATE, "{index}", "狐-{seed}", "{model}_{steps}", "{{{seed}}}", "{guidance_scale:.1f}"])
def test_templates_that_are_taken(template):
    check_template(template)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{sead}", "has no field {sead}"),
        ("{}", "has no field {}"),
        ("{seed.__class__}", "has no field {seed.__class__}"),
        ("{seed!r}", "has no field {seed}"),
        ("{slug:04d}", "cannot be filled in"),
        ("{seed", "cannot be filled in"),
        ("a/{seed}", "is a path"),
        ("../{seed}", "is a path"),
        ("{seed}?", "holds '?'"),
        ("", "is empty"),
        ("con", "is the name of a device"),
        ("x" * 300, "takes 300 bytes"),
        (".{seed}", "begins with a dot"),
    ],
)
def test_templates_that_are_refused(template, said):
    with pytest.raises(UsageError) as error:
        check_template(template)
    assert said in error.value.message
    assert error.value.hint


def test_an_unknown_field_lists_those_there_are():
    with pytest.raises(UsageError) as error:
        check_template("{sead}")
    assert "{index}, {slug}, {seed}" in error.value.hint


def test_names_from_rows():
    names = {"fox": "fox.png", "红狐狸.png": "红狐狸.png", "v1.5": "v1.5.png", "Fox.PNG": "Fox.png"}
    assert {name: check_name(name, ".png", "ideas.csv:3") for name in names} == names


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../../etc/x", "is a path"),
        ("/etc/x", "is a path"),
        ("sub/x", "is a path"),
        ("..", "is a path"),
        ("C:\\x", "is a path"),
        ("C:x", "holds ':'"),
        ("CON", "is the name of a device"),
        ("nul.png", "is the name of a device"),
        ("com1.backup", "is the name of a device"),
        ("x.", "ends in one or in a dot"),
        ("x ", "ends in one or in a dot"),
        ("a\nb", "holds '\\n'"),
        ("a\u202eb", "holds"),
        ("a\ud800", "holds"),
        ("狐" * 100, "takes 300 bytes"),
        ("x.jpg", "ends in .jpg, but .png files are written"),
        (".png", "begins with a dot"),
        ("", "is empty"),
    ],
)
def test_names_from_rows_that_are_refused(name, said):
    with pytest.raises(UsageError) as error:
        check_name(name, ".png", "ideas.csv:17")
    assert error.value.message.startswith("ideas.csv:17: filename: ")
    assert said in error.value.message


def test_a_jpeg_may_end_in_either_way():
    assert check_name("x.jpeg", ".jpg", "f:1") == "x.jpg"


def test_equal_names_are_told_apart_also_without_case_and_decomposed():
    names = ["fox.png", "Fox.png", "fox.png", "fox-2.png", "é.png", unicodedata.normalize("NFD", "é.png")]
    assert told_apart(names) == ["fox.png", "Fox-2.png", "fox-3.png", "fox-2-2.png", "é.png", "e\u0301-2.png"]


def test_nothing_is_overwritten_unasked(tmp_path):
    path = tmp_path / "x.png"
    refuse_existing(path, overwrite=False)
    path.touch()
    refuse_existing(path, overwrite=True)
    with pytest.raises(UsageError, match="is there already"):
        refuse_existing(path, overwrite=False)
    with pytest.raises(UsageError, match="is a folder"):
        refuse_existing(tmp_path, overwrite=True)

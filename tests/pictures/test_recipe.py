from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path

import pytest

from aigc_cli.batch.prompt_template import parse
from aigc_cli.core.image import ImageRequest
from aigc_cli.pictures.recipe import Part, Recipe, command_line, differences, parse_recipe, request_settings, settings_of
from tests.pictures.conftest import recipe


def test_json_and_back():
    made = recipe(
        **{"typed_prompt": "a {red|blue} fox", "options": {"cache": "deep"}, "score": 0.31, "edits": ("made 4 times larger by Lanczos",)},
        **{"batch_size": 4, "batch_position": 0, "model_sha256": "ff" * 32},
    )
    assert parse_recipe(json.loads(json.dumps(made.to_json()))) == (made, ())


def test_settings_are_what_is_not_at_its_default():
    request = ImageRequest(prompt="x", seed=0, init_image=Path("图.png"), strength=0.5)
    settings = settings_of(request)
    assert settings == {"prompt": "x", "seed": 0, "init_image": "图.png", "strength": 0.5}
    assert ImageRequest(**request_settings(Recipe(settings=settings))) == request


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 99}, "written by another version"),
        ({"new_thing": 3}, "new_thing could not be taken"),
        ({"device": 3}, "device could not be taken"),
        ({"source": "elsewhere"}, "source could not be taken"),
        ({"settings": {"prompt": "x", "steps": "many"}}, "the setting steps could not be taken"),
        ({"settings": {"prompt": "x", "seed": True}}, "the setting seed could not be taken"),
        ({"settings": {"prompt": "x", "rm": "-rf"}}, "the setting rm could not be taken"),
        ({"parts": [{"kind": "lora"}]}, "one of the files"),
        ({"parts": [{"kind": "lora", "name": 3}]}, "one of the files"),
        ({"parts": 7}, "one of the files"),
        ({"options": {"x": [1]}}, "part of its recipe"),
    ],
)
def test_a_recipe_that_somebody_changed(change, said):
    found, remarks = parse_recipe({**recipe().to_json(), **change})
    assert said in "\n".join(remarks)
    assert "rm" not in found.settings


@pytest.mark.parametrize("value", [None, 3, [], {}, {"settings": []}])
def test_what_is_no_recipe(value):
    with pytest.raises(ValueError, match="no recipe"):
        parse_recipe(value)


def test_differences_are_only_of_what_is_known_of_both_times():
    then = recipe(model_sha256="abcdef0123")
    ink = Part("lora", "loras/ink.safetensors", 0.7, "00")
    now = recipe(revision="ffff0000", versions={"torch": "2.14.0"}, device="cuda", dtype=None, parts=(ink,))
    now = dataclasses.replace(now, model_sha256="abcdef0123" + "0" * 54)
    assert list(differences(then, now)) == [
        "the model's revision was 0123abcd, now ffff0000",
        "the device was cpu, now cuda",
        "torch was 2.13.0, now 2.14.0",
        "loras/ink.safetensors is not the same file as then",
    ]
    assert list(differences(then, then)) == []


def test_a_name_that_begins_as_another_is_another():
    assert list(differences(recipe(model="stable-diffusion"), recipe(model="stable-diffusion-xl")))


def test_the_command_says_all_of_it_for_a_shell():
    words = shlex.split(command_line(recipe("it's 一只狐 $(rm) `x`")))
    assert words[:6] == ["aigc", "image", "-m", "someone/tiny-sd@0123abcd", "--adapter", "loras/ink.safetensors:0.7"]
    assert words[-1] == "it's 一只狐 $(rm) `x`"
    assert words[words.index("--guidance-scale") + 1] == "7.5"
    assert shlex.split(command_line(Recipe(settings={"prompt": "-x"})))[-2:] == ["--", "-x"]


@pytest.mark.parametrize("prompt", ["{lit} __x__", "a|b {c|d} _e_ f__g", "___", r"plain (x:1.2) \( y"])
def test_in_the_command_nothing_of_the_prompt_is_open(prompt: str):
    typed = shlex.split(command_line(Recipe(settings={"prompt": prompt})))[-1]
    assert parse(typed).parts == (prompt,)


def test_a_file_of_a_repository_stands_behind_its_revision():
    made = Recipe(settings={"prompt": "x"}, model="org/x:fox.safetensors", revision="0123abcd")
    assert shlex.split(command_line(made))[2:4] == ["-m", "org/x@0123abcd:fox.safetensors"]


def test_a_file_that_a_setting_names_is_in_the_command_once():
    made = Recipe(settings={"prompt": "x", "init_image": "a.png"}, parts=(Part("init_image", "a.png", None, "00"),))
    assert shlex.split(command_line(made)) == ["aigc", "image", "--init-image", "a.png", "x"]

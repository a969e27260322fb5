from __future__ import annotations

import pytest

from aigc_cli.pictures.a1111 import parameters_text, parse_parameters, parse_text
from aigc_cli.pictures.recipe import Part
from tests.pictures.conftest import recipe

PLAIN = {"parts": (), "versions": {}, "revision": None}


def test_the_text_has_the_form_that_others_read():
    text = parameters_text(recipe("a fox", model="models/sd15.safetensors", model_sha256="6ce0161689" + "0" * 54))
    assert text == (
        "a fox <lora:ink:0.7>\n"
        "Steps: 5, Sampler: Euler a, Schedule type: Automatic, CFG scale: 7.5, Seed: 7, Size: 48x32, "
        'Model hash: 6ce0161689, Model: sd15, Lora hashes: "ink: ababababab", Version: aigc 0.1.0'
    )


@pytest.mark.parametrize("negative", ["", "blurry, bad", "two\nlines", "Negative prompt: twice"])
@pytest.mark.parametrize(
    "prompt",
    [
        "a fox, in the snow",
        'she said "hi", twice',
        "first\nsecond: line",
        "a fox <lora:x:0.7>, ink",
        "一只红狐狸，雪地，“水彩”",
        "a sign that reads Negative prompt: no",
        "Steps: 3",
        "Steps: 3, Sampler: Euler, Seed: 4",
        "back\\slash, tab\there",
    ],
)
def test_prompts_are_read_back_by_the_rules(prompt, negative):
    made = recipe(prompt, model='odd, "name": here', **PLAIN)
    made.settings["negative_prompt"] = negative
    found = parse_text(parameters_text(made))
    assert (found.prompt, found.negative_prompt) == (prompt, negative)
    assert found.values["Model"] == 'odd, "name": here'
    assert found.values["Seed"] == "7"


def test_a_line_that_would_begin_the_negative_prompt_is_joined_to_the_one_before():
    found = parse_text(parameters_text(recipe("a sign\n  Negative prompt: no", **PLAIN)))
    assert (found.prompt, found.negative_prompt) == ("a sign Negative prompt: no", "")


@pytest.mark.parametrize(
    ("sampler", "scheduler"),
    [
        ("DPM++ 2M, Schedule type: Karras", "dpm++2m-karras"),
        ("DPM++ 2M Karras", "dpm++2m-karras"),
        ("Euler a", "euler-a"),
        ("UniPC, Schedule type: Automatic", "unipc"),
    ],
)
def test_samplers_of_both_eras(sampler, scheduler):
    found, remarks = parse_parameters(f"x\nSteps: 20, Sampler: {sampler}, Seed: 1, Size: 8x8")
    assert (found.settings["scheduler"], remarks) == (scheduler, ())


def test_what_cannot_be_taken_is_said():
    values = "Steps: many, Sampler: Fancy, Schedule type: Odd, Seed: 1, Size: big, Denoising strength: 0.4, Clip skip: no, Hires upscale: 2"
    found, remarks = parse_parameters(f"x\n{values}, Version: v1.10")
    assert found.settings == {"prompt": "x", "seed": 1}
    said = "\n".join(remarks)
    for words in (
        "Steps is no number: many",
        "Size is not",
        "like its sampler Fancy Odd",
        "strength 0.4",
        "Clip skip is no",
        "Hires upscale: 2",
    ):
        assert words in said
    assert "Version" not in said


def test_lora_tags_become_parts():
    text = 'a fox, <lora:墨 ink:0.7> <lora:b>, <lora:c:te=1>\nSteps: 1, Seed: 1, Size: 8x8, Lora hashes: "墨 ink: 0123456789ab, b: ff"'
    found, remarks = parse_parameters(text)
    assert found.settings["prompt"] == "a fox,  ,"
    assert found.parts == (Part("lora", "墨 ink", 0.7, "0123456789ab"), Part("lora", "b", 1.0, "ff"), Part("lora", "c", None, None))
    assert remarks == ("the weight of the LoRA c is no number: te=1",)


def test_clip_skip_counts_from_one_there():
    found, _ = parse_parameters("x\nSteps: 1, Seed: 1, Size: 8x8, Clip skip: 2")
    assert found.settings["clip_skip"] == 1
    assert "Clip skip: 2" in parameters_text(found)


def test_a_variation_keeps_both_seeds():
    made = recipe("x", **PLAIN)
    made.settings.update(variation=0.1, variation_seed=9)
    found, _ = parse_parameters(parameters_text(made))
    assert (found.settings["variation"], found.settings["variation_seed"]) == (0.1, 9)


@pytest.mark.parametrize("text", ["", "\n\n", "only a prompt", "Steps: 1"])
def test_a_text_without_values_is_a_prompt(text):
    assert parse_parameters(text)[0].settings == {"prompt": text.strip()}

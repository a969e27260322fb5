"""The `parameters` text of AUTOMATIC1111's web UI, which most programs that show generated pictures read.

    a red fox, <lora:ink:0.7>
    Negative prompt: blurry
    Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 7, Size: 512x768, Model: sd15

The rules, after modules/infotext_utils.py there: the last line is one of values if it has three or more of them; every
line is stripped; a line that begins with "Negative prompt:" begins the negative prompt; a value with a comma, a colon
or a line break stands as a JSON string. There is no escape for the beginning of a line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from aigc_cli.core.sampler_names import AUTOMATIC, from_a1111, to_a1111
from aigc_cli.pictures.recipe import LORA, Part, Recipe

NEGATIVE = "Negative prompt:"
VALUE = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
FEWEST_VALUES = 3
SIZE = re.compile(r"(\d+)x(\d+)")
LORA_TAG = re.compile(r"<lora:([^:<>]+)(?::([^<>]*))?>")
HASH_LENGTH = 10  # digits of a sha256, as the web UI writes it

# the fields of an ImageRequest that have a value of their own there
TAKEN = {
    "Steps": ("steps", int),
    "CFG scale": ("guidance_scale", float),
    "Seed": ("seed", int),
    "Variation seed": ("variation_seed", int),
    "Variation seed strength": ("variation", float),
}
READ = {*TAKEN, "Sampler", "Schedule type", "Size", "Model", "Model hash", "Clip skip", "Denoising strength", "Lora hashes"}
OF_NO_CONSEQUENCE = ("Version", "User", "Score")


@dataclass(frozen=True)
class Parameters:
    """The text taken apart by its rules and not yet understood. values: as written, unquoted."""

    prompt: str
    negative_prompt: str
    values: dict[str, str]


def parameters_text(recipe: Recipe) -> str:
    """The recipe as far as this text can tell it."""
    negative = str(recipe.settings.get("negative_prompt", ""))
    tags = "".join(f" <lora:{stem(part)}:{1.0 if part.scale is None else part.scale:g}>" for part in recipe.parts_of(LORA))
    lines = [kept_together(recipe.prompt) + tags]
    if negative:
        lines.append(f"{NEGATIVE} {kept_together(negative)}")
    lines.append(", ".join(f"{name}: {quoted(str(value))}" for name, value in values_of(recipe) if value not in (None, "")))
    return "\n".join(lines)


def values_of(recipe: Recipe) -> Iterator[tuple[str, Any]]:
    settings = recipe.settings
    sampler, schedule = to_a1111(settings["scheduler"]) if "scheduler" in settings else (None, AUTOMATIC)
    hashes = [f"{stem(part)}: {part.sha256[:HASH_LENGTH]}" for part in recipe.parts_of(LORA) if part.sha256]
    yield "Steps", settings.get("steps")
    yield "Sampler", sampler
    yield "Schedule type", schedule if sampler else None
    yield "CFG scale", settings.get("guidance_scale")
    yield "Seed", recipe.seed
    if "width" in settings and "height" in settings:
        yield "Size", f"{settings['width']}x{settings['height']}"
    yield "Model hash", (recipe.model_sha256 or "")[:HASH_LENGTH]
    yield "Model", recipe.model and PurePath(recipe.model).name.removesuffix(".safetensors")
    if settings.get("variation"):
        yield "Variation seed", settings.get("variation_seed")
        yield "Variation seed strength", settings["variation"]
    yield "Denoising strength", settings.get("strength")
    if settings.get("clip_skip"):
        yield "Clip skip", settings["clip_skip"] + 1  # there 1 leaves out nothing
    yield "Lora hashes", ", ".join(hashes)
    yield "Version", f"aigc {recipe.versions['aigc']}" if "aigc" in recipe.versions else None


def kept_together(prompt: str) -> str:
    """The prompt with lines joined where one would be taken for the beginning of the negative prompt.

    Of a prompt that is so from its first word on, nothing but the `aigc` chunk can tell.
    """
    return re.sub(rf"\s*\n\s*(?={re.escape(NEGATIVE)})", " ", prompt)


def quoted(value: str) -> str:
    needs_quotes = any(char in value for char in ",\n:") or value != value.strip() or value.startswith('"')
    return json.dumps(value, ensure_ascii=False) if needs_quotes else value


def unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == '"':
        try:
            return str(json.loads(value))
        except ValueError:
            pass  # only a text in quotes
    return value


def stem(part: Part) -> str:
    return PurePath(part.name.replace("\\", "/")).stem


def parse_text(text: str) -> Parameters:
    """Takes the text apart as the web UI does."""
    *lines, last = text.strip().split("\n")
    values = VALUE.findall(last)
    if len(values) < FEWEST_VALUES:
        lines.append(last)
        values = []
    parts: tuple[list[str], list[str]] = ([], [])
    at = 0
    for line in (line.strip() for line in lines):
        if line.startswith(NEGATIVE):
            at = 1
            line = line.removeprefix(NEGATIVE).strip()
        parts[at].append(line)
    prompt, negative = ("\n".join(part).lstrip("\n") for part in parts)
    return Parameters(prompt, negative, {name: unquoted(value.strip()) for name, value in values})


def parse_parameters(text: str) -> tuple[Recipe, tuple[str, ...]]:
    """What the text says of a picture, and what of it could not be taken, in words. A lora tag becomes a part."""
    found = parse_text(text)
    remarks: list[str] = []
    settings: dict[str, Any] = {"prompt": without_tags(found.prompt)}
    if found.negative_prompt:
        settings["negative_prompt"] = without_tags(found.negative_prompt)
    settings |= numbers(found.values, remarks)
    settings |= size_and_scheduler(found.values, remarks)
    if strength := found.values.get("Denoising strength"):
        remarks.append(f"it was begun from another picture or enlarged, with denoising strength {strength}: neither is named there")
    if others := [f"{name}: {value}" for name, value in found.values.items() if name not in READ and name not in OF_NO_CONSEQUENCE]:
        remarks.append(f"not taken: {', '.join(others)}")
    recipe = Recipe(
        settings=settings,
        model=found.values.get("Model"),
        model_sha256=found.values.get("Model hash"),
        parts=tuple(loras(found, remarks)),
        source="a1111",
    )
    return recipe, tuple(remarks)


def numbers(values: Mapping[str, str], remarks: list[str]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for name, (setting, number) in TAKEN.items():
        if name in values:
            try:
                settings[setting] = number(values[name])
            except ValueError:
                remarks.append(f"{name} is no number: {values[name]}")
    if values.get("Clip skip", "1").isdecimal():
        if skipped := int(values.get("Clip skip", "1")) - 1:
            settings["clip_skip"] = skipped
    else:
        remarks.append(f"Clip skip is no number: {values['Clip skip']}")
    return settings


def size_and_scheduler(values: Mapping[str, str], remarks: list[str]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if size := values.get("Size"):
        if match := SIZE.fullmatch(size):
            settings |= {"width": int(match[1]), "height": int(match[2])}
        else:
            remarks.append(f"Size is not WIDTHxHEIGHT: {size}")
    if sampler := values.get("Sampler"):
        schedule = values.get("Schedule type", "")
        if name := from_a1111(sampler, schedule):
            settings["scheduler"] = name
        else:
            remarks.append(f"there is no scheduler like its sampler {f'{sampler} {schedule}'.strip()}")
    return settings


def without_tags(prompt: str) -> str:
    return LORA_TAG.sub("", prompt).rstrip() if LORA_TAG.search(prompt) else prompt


def loras(found: Parameters, remarks: list[str]) -> Iterator[Part]:
    pairs = (each.partition(":") for each in found.values.get("Lora hashes", "").split(","))
    hashes = {name.strip(): value.strip() for name, _, value in pairs}
    for name, weight in LORA_TAG.findall(found.prompt):
        try:
            scale = float(weight or 1.0)
        except ValueError:
            scale = None
            remarks.append(f"the weight of the LoRA {name} is no number: {weight}")
        yield Part(LORA, name, scale, hashes.get(name) or None)

"""How a picture was made: all that is needed to make it again, as a value and as JSON."""

from __future__ import annotations

import dataclasses
import re
import shlex
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from aigc_cli.core.image import ImageRequest

FORMAT = 1
LORA = "lora"
Source = Literal["aigc", "a1111", "comfyui"]
OPEN = re.compile(r"[{}|]|_(?=_)|(?<=_)_")  # what a prompt that is typed would have chosen or drawn, were there no backslash before it
HASH_BEGINNING = re.compile(r"[0-9a-f]{8,}")


@dataclass(frozen=True)
class Part:
    """A file besides the model that shaped the picture.

    kind: lora, another flag's name such as vae, or the ImageRequest field that names the file, such as init_image.
    name: its path as it was given; what another program calls it.  sha256: of the whole file, or as much of it as is known.
    """

    kind: str
    name: str
    scale: float | None = None
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is known of how a picture was made; of another program's picture that is less.

    settings: ImageRequest's fields by their names, those that count; paths are text.
    typed_prompt: the prompt before wildcards and {a|b} were filled in, where that differs.
    model_sha256: of a model that is one file, or as much of it as is known.  fingerprint: of the weights, wherever they lie.
    batch_size, batch_position: where the result depends on them, as it does in bfloat16.
    cache_drift: with the option cache, by what share the parts that were reused were off when they were computed again.
    options: other switches that change pixels, by their flags' names.  edits: what was done to it afterwards, in words.
    """

    settings: Mapping[str, Any]
    typed_prompt: str | None = None
    model: str | None = None
    revision: str | None = None
    model_sha256: str | None = None
    fingerprint: str | None = None
    parts: tuple[Part, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    device: str | None = None
    dtype: str | None = None
    batch_size: int | None = None
    batch_position: int | None = None
    score: float | None = None
    cache_drift: float | None = None
    edits: tuple[str, ...] = ()
    source: Source = "aigc"

    @property
    def prompt(self) -> str:
        return str(self.settings.get("prompt", ""))

    @property
    def seed(self) -> int | None:
        return self.settings.get("seed")

    def parts_of(self, kind: str) -> tuple[Part, ...]:
        return tuple(part for part in self.parts if part.kind == kind)

    def to_json(self) -> dict[str, Any]:
        """A JSON object without what is not known."""
        values: dict[str, Any] = {"format": FORMAT}
        for each in dataclasses.fields(self):
            value = getattr(self, each.name)
            if each.name == "parts":
                value = [{name: fact for name, fact in vars(part).items() if fact is not None} for part in value]
            elif isinstance(value, Mapping):
                value = dict(value)
            if value not in (None, (), [], {}):
                values[each.name] = list(value) if isinstance(value, tuple) else value
        return values


def settings_of(request: ImageRequest) -> dict[str, Any]:
    """The request's fields for a recipe, without those that are at their defaults."""
    return {
        each.name: str(value) if isinstance(value, Path) else value
        for each in dataclasses.fields(request)
        if (value := getattr(request, each.name)) != each.default
    }


def request_settings(recipe: Recipe) -> dict[str, Any]:
    """The settings as ImageRequest takes them: paths are no longer text. Prompt and seed may be missing."""
    hints = typing.get_type_hints(ImageRequest)
    return {name: Path(value) if Path in typing.get_args(hints[name]) else value for name, value in recipe.settings.items()}


def parse_recipe(value: Any) -> tuple[Recipe, tuple[str, ...]]:
    """A recipe from JSON that anybody may have written, and what in it could not be taken, in words.

    Raises: ValueError for what is no recipe at all.
    """
    if not isinstance(value, dict) or not isinstance(value.get("settings"), dict):
        raise ValueError("no recipe")
    remarks = []
    if value.get("format") != FORMAT:
        remarks.append("its recipe was written by another version of aigc")
    known: dict[str, Any] = {}
    hints = typing.get_type_hints(Recipe)
    for name, fact in value.items():
        if name in PARSERS:
            known[name] = PARSERS[name](fact, remarks)
        elif name in hints and is_a(hints[name], fact):
            known[name] = fact
        elif name != "format":
            remarks.append(f"{name} could not be taken from its recipe")
    return Recipe(**known), tuple(remarks)


def parse_settings(value: Any, remarks: list[str]) -> dict[str, Any]:
    """Those settings that an ImageRequest has, with values of the right type."""
    hints = typing.get_type_hints(ImageRequest)
    known = {name: fact for name, fact in value.items() if name in hints and is_a(hints[name], fact)}
    remarks += [f"the setting {name} could not be taken from its recipe" for name in value if name not in known]
    return known


def parse_parts(value: Any, remarks: list[str]) -> tuple[Part, ...]:
    hints = typing.get_type_hints(Part)
    parts = []
    for each in value if isinstance(value, list) else [value]:
        try:
            part = Part(**each)
        except TypeError:
            part = None
        if part and all(is_a(hints[name], fact) for name, fact in vars(part).items()):
            parts.append(part)
        else:
            remarks.append("one of the files it was made with could not be taken from its recipe")
    return tuple(parts)


def parse_mapping(value: Any, remarks: list[str]) -> dict[str, Any]:
    """Of names to text, numbers or truth values."""
    if isinstance(value, dict) and all(isinstance(fact, (str, int, float)) for fact in value.values()):
        return value
    remarks.append("part of its recipe could not be taken")
    return {}


def parse_edits(value: Any, remarks: list[str]) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


PARSERS = {
    "settings": parse_settings,
    "parts": parse_parts,
    "options": parse_mapping,
    "versions": parse_mapping,
    "edits": parse_edits,
}


def is_a(hint: Any, value: Any) -> bool:
    """Whether a JSON value fits a field: of a union one of its types, for a path text, for float any number."""
    if typing.get_origin(hint) is Literal:
        return value in typing.get_args(hint)
    types = {str if each is Path else each for each in typing.get_args(hint) or (hint,)}
    return type(value) in types or (float in types and type(value) is int)


def differences(then: Recipe, now: Recipe) -> Iterator[str]:
    """What may make the same request give another picture today, in words; only what is known of both times."""
    facts = (
        ("the model", then.model, now.model),
        ("the model's revision", then.revision, now.revision),
        ("the model's sha256", then.model_sha256, now.model_sha256),
        ("the device", then.device, now.device),
        ("the dtype", then.dtype, now.dtype),
        *((name, then.versions[name], now.versions.get(name)) for name in then.versions),
    )
    if then.fingerprint and now.fingerprint and then.fingerprint != now.fingerprint:
        yield "the model's weights are not the same as then"
    for what, before, today in facts:
        if before and today and not is_same(before, today):
            yield f"{what} was {before}, now {today}"
    hashes = {(part.kind, part.name): part.sha256 for part in now.parts}
    for part in then.parts:
        today = hashes.get((part.kind, part.name))
        if part.sha256 and today and not is_same(part.sha256, today):
            yield f"{part.name} is not the same file as then"


def is_same(before: str, today: str) -> bool:
    """Also for hashes of which only the beginning is known."""
    shorter, longer = sorted((before.lower(), today.lower()), key=len)
    return longer == shorter or (HASH_BEGINNING.fullmatch(shorter) is not None and longer.startswith(shorter))


def command_line(recipe: Recipe) -> str:
    """What to type into a shell for the same picture."""
    words = ["aigc", "image"]
    if recipe.model:
        words += ["-m", model_argument(recipe)]
    for part in recipe.parts:
        if part.kind not in recipe.settings:
            flag = "--adapter" if part.kind == LORA else f"--{part.kind}"
            words += [flag, part.name if part.scale is None else f"{part.name}:{part.scale:g}"]
    for name, value in {**recipe.settings, **recipe.options}.items():
        if name != "prompt" and value is not False:
            words += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    prompt = OPEN.sub(r"\\\g<0>", recipe.prompt)
    return shlex.join([*words, "--", prompt] if prompt.startswith("-") else [*words, prompt])


def model_argument(recipe: Recipe) -> str:
    """The model as -m takes it: `org/name@revision:file` where it came from a hub."""
    repo, colon, file = (recipe.model or "").partition(":")
    return f"{repo}@{recipe.revision}{colon}{file}" if is_hub_id(recipe) else recipe.model or ""


def is_hub_id(recipe: Recipe) -> bool:
    """Whether a revision may be asked for by name: the model came from a hub, not from a folder."""
    name = recipe.model or ""
    return bool(recipe.revision) and name.count("/") == 1 and "@" not in name and name[0] not in "./~"

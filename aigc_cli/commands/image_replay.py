"""`aigc image --from`: a picture's own account of itself -> what to ask for to get it again."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aigc_cli.batch.rows import PromptRow
from aigc_cli.core.engine import Dtype
from aigc_cli.core.errors import AigcError, UsageError
from aigc_cli.core.image import ImageEngineOptions
from aigc_cli.pictures.metadata import read_recipe
from aigc_cli.pictures.recipe import LORA, Part, Recipe, model_argument, request_settings

OURS = "aigc"
PORTABLE = (Dtype.FLOAT32, Dtype.BFLOAT16)  # float16 is what a GPU may have taken by itself, and a CPU refuses
INSTEAD_OF = {"transparent": "background", "background": "transparent"}  # which of the two counts is for the command line to say


@dataclass(frozen=True)
class Replay:
    """seed: None where the picture does not tell it.  model: None where it names none that can be found.  remarks: in words."""

    recipe: Recipe
    row: PromptRow
    seed: int | None
    engine: ImageEngineOptions
    model: str | None
    remarks: tuple[str, ...]


def read_replay(
    path: Path,
    prompt: str | None,
    values: Mapping[str, Any],
    varied: Collection[str],
    seed: int | None,
    engine: ImageEngineOptions,
    model: str | None,
) -> Replay:
    """What the command line gives goes before what the picture tells. varied: options that it gives several values for.

    Raises: UsageError for a picture that does not tell how it was made, or was made with a file that is not there.
    """
    try:
        recipe, remarks = read_recipe(path)
    except AigcError as error:  # here it is bad input, also where a picture is whole and only says nothing
        raise UsageError(error.message, error.hint) from error
    changed = {*values, *varied}
    settings = {name: value for name, value in request_settings(recipe).items() if not changed & {name, INSTEAD_OF.get(name)}}
    settings.pop("seed", None)
    own_seed = None if "seed" in varied else recipe.seed
    is_seed_known = recipe.seed is not None or seed is not None or "seed" in varied
    settings |= {**values, **({"prompt": prompt} if prompt is not None else {})}
    if not settings.get("prompt"):
        raise UsageError(f"{path} does not tell its prompt", "give one")
    for name, value in settings.items():
        if isinstance(value, Path) and not value.is_file():
            raise UsageError(
                f"{path} was made with {value}, which is not there", f"name it: --{name.replace('_', '-')} FILE; or go to where it was made"
            )
    own_model = own_name(recipe)
    return Replay(
        recipe=recipe,
        row=PromptRow(settings, is_literal=prompt is None),
        seed=own_seed if seed is None else seed,
        engine=with_parts(engine, recipe, path),
        model=model or own_model,
        remarks=(*remarks, *remarks_on(recipe, path, engine, model is None and own_model is None, not is_seed_known)),
    )


def own_name(recipe: Recipe) -> str | None:
    """The model as -m takes it. Other programs write names that only they can find."""
    if recipe.source != OURS or recipe.model is None:
        return None
    return model_argument(recipe)


def with_parts(engine: ImageEngineOptions, recipe: Recipe, path: Path) -> ImageEngineOptions:
    """The options, what they leave open taken from the recipe. Raises: UsageError for a file of ours that is not there."""
    if recipe.source != OURS:
        return engine

    def files(kind: str) -> Iterator[Path]:
        return (existing(part, path) for part in recipe.parts_of(kind))

    scales = [1.0 if part.scale is None else part.scale for part in recipe.parts_of(LORA)]
    return dataclasses.replace(
        engine,
        dtype=recipe.dtype if engine.dtype == Dtype.AUTO and recipe.dtype in PORTABLE else engine.dtype,
        adapters=engine.adapters or tuple(zip(files(LORA), scales, strict=True)),
        controlnet=engine.controlnet or next(files("controlnet"), None),
        vae=engine.vae or next(files("vae"), None),
        embeddings=engine.embeddings or tuple(files("embedding")),
        cache=engine.cache or bool(recipe.options.get("cache")),
    )


def existing(part: Part, path: Path) -> Path:
    if not (file := Path(part.name)).exists():
        flag = "--adapter" if part.kind == LORA else f"--{part.kind}"
        raise UsageError(f"{path} was made with {file}, which is not there", f"name it: {flag} PATH; or go to where it was made")
    return file


def remarks_on(recipe: Recipe, path: Path, engine: ImageEngineOptions, lacks_model: bool, lacks_seed: bool) -> Iterator[str]:
    if lacks_seed:
        yield f"{path} does not tell its seed: the picture will be another one"
    if lacks_model:
        yield f"{path} was made with {recipe.model or 'a model that it does not name'}: which model is taken, -m says"
    if recipe.source != OURS and not engine.adapters:
        for part in recipe.parts_of(LORA):
            yield f"{path} was made with the LoRA {part.name}, which is not used: name it with --adapter"
    if (recipe.batch_size or 1) > 1 and recipe.dtype != Dtype.FLOAT32:
        yield f"{path} was drawn together with others in {recipe.dtype}: alone it may differ in its last digits"
    for edit in recipe.edits:
        yield f"{path} was {edit}: that is not done again"

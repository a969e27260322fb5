"""`aigc show`: how pictures were made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aigc_cli.commands.output import open_output
from aigc_cli.core.errors import AigcError, ExitStatus, UsageError
from aigc_cli.options import OutputOptions

if TYPE_CHECKING:
    from aigc_cli.pictures.recipe import Part, Recipe
    from aigc_cli.render.output import Output

COLUMNS = 40  # cells that a picture takes in the terminal


def show(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Pictures: PNG, JPEG or WebP.", show_default=False)],
    options: OutputOptions,
) -> None:
    """Show how pictures were made: by aigc, A1111 or ComfyUI, as far as they tell."""
    output = open_output(options)
    failed: list[AigcError] = []
    for number, path in enumerate(files):
        try:
            show_file(path, output, after_another=number > len(failed))
        except AigcError as error:
            if len(files) == 1:
                raise
            failed.append(error)
            output.caution(error.message, error.hint)
            if options.json:
                output.write_json({"file": str(path), "error": error.message})
    if failed:
        raise summary(failed, len(files))


def summary(failed: list[AigcError], count: int) -> AigcError:
    """One error for several: bad input if one of them is."""
    kind = UsageError if any(error.status is ExitStatus.USAGE for error in failed) else AigcError
    return kind(f"{len(failed)} of {count} pictures could not be shown", "the reasons stand above")


def show_file(path: Path, output: Output, *, after_another: bool) -> None:
    """Raises: UsageError for what is no picture, AigcError for one that does not tell how it was made."""
    from aigc_cli.pictures.metadata import read_recipe

    recipe, remarks = read_recipe(path)
    if output.json:
        output.write_json({"file": str(path), **recipe.to_json(), "remarks": list(remarks)})
        return
    if output.stdout_is_terminal:
        draw_picture(path, output, after_another=after_another)
        after_another = False
    write_recipe(path, recipe, output, after_another=after_another)
    for remark in remarks:
        output.caution(f"{path}: {remark}")


def draw_picture(path: Path, output: Output, *, after_another: bool) -> None:
    from aigc_cli.pictures.opening import open_picture
    from aigc_cli.render.terminal_image import draw

    picture, _ = open_picture(path)
    if after_another:
        output.write("\n")
    draw(picture, output, COLUMNS)


def write_recipe(path: Path, recipe: Recipe, output: Output, *, after_another: bool) -> None:
    """A heading and the facts below it, also in a pipe, for the picture of several must be told."""
    from aigc_cli.render.table import Section, write_sections

    if after_another:
        output.write("\n")
    write_sections(output, [Section(str(path), list(rows(recipe)))])


def rows(recipe: Recipe) -> list[tuple[str, str]]:
    settings = {name.replace("_", " "): value for name, value in recipe.settings.items()}
    hashed = f", sha256 {recipe.model_sha256}" if recipe.model_sha256 else ""
    batch = f"{recipe.batch_position + 1} of {recipe.batch_size}" if recipe.batch_position is not None and recipe.batch_size else None
    facts = {
        **settings,
        "typed prompt": recipe.typed_prompt,
        "model": f"{recipe.model}{f' at {recipe.revision}' if recipe.revision else ''}{hashed}" if recipe.model else hashed.lstrip(", "),
        **{name.replace("-", " "): value for name, value in recipe.options.items()},
        "cache drift": None if recipe.cache_drift is None else f"{recipe.cache_drift:.1%}",
        "place in batch": batch,
        "device": ", ".join(filter(None, (recipe.device, recipe.dtype))),
        "score": None if recipe.score is None else f"{recipe.score:.3f}",
        "versions": ", ".join(f"{name} {version}" for name, version in recipe.versions.items()),
        "written by": {"aigc": None, "a1111": "A1111 or a program that writes as it does", "comfyui": "ComfyUI"}[recipe.source],
    }
    parts = [(part.kind, described(part)) for part in recipe.parts]
    edits = [("afterwards", edit) for edit in recipe.edits]
    return [*((name, "yes" if value is True else str(value)) for name, value in facts.items() if value not in (None, "")), *parts, *edits]


def described(part: Part) -> str:
    scale = f" at {part.scale:g}" if part.scale is not None else ""
    return part.name + scale + (f", sha256 {part.sha256}" if part.sha256 else "")

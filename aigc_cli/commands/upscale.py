"""`aigc upscale`: larger pictures."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aigc_cli.commands.output import follow, open_output, read_settings
from aigc_cli.core.engine import Dtype
from aigc_cli.core.errors import AigcError, ExitStatus, UsageError
from aigc_cli.core.events import Event
from aigc_cli.core.request import check
from aigc_cli.options import MODEL, OUTPUT, OutputOptions
from aigc_cli.render.sanitize import sanitize

if TYPE_CHECKING:
    from PIL import Image

    from aigc_cli.pictures.metadata import Format
    from aigc_cli.pictures.recipe import Recipe
    from aigc_cli.render.output import Output

SCALE = 4.0  # without a model, which has one of its own
LARGEST_SCALE = 16.0
SMALLEST_TILE = 96  # pixels; in a smaller one little would lie outside the overlaps


class SomeFailedError(AigcError):
    """Of several pictures not all could be made larger."""

    status = ExitStatus.PARTIAL


@dataclass(frozen=True)
class Job:
    """A picture and the file that its larger one goes to."""

    source: Path
    target: Path
    form: Format


@dataclass(frozen=True)
class Method:
    """How pictures become larger. native: what `enlarge` makes of a side, before Lanczos brings it to `scale`; None without a model."""

    name: str
    scale: float
    tile: int
    enlarge: Callable[[Image.Image], Image.Image] | None = None
    native: int | None = None

    def edit(self, size: tuple[int, int]) -> str:
        """For the recipe."""
        rest = f", then by Lanczos to {self.scale:g}x" if self.native not in (None, self.scale) else ""
        return f"upscaled {self.native or self.scale:g}x by {self.name}{rest}, to {size[0]} x {size[1]}"


def upscale(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Pictures; each keeps its name.", show_default=False)],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where they go.", rich_help_panel=OUTPUT, show_default=False)
    ],
    options: OutputOptions,
    scale: Annotated[
        float | None, typer.Option(help="How many times as wide and high; without it the model's own, or 4.", rich_help_panel="Size")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            "-m", "--model", metavar="FILE", help="Weights of ESRGAN or its kin; without them Lanczos: no detail.", rich_help_panel=MODEL
        ),
    ] = None,
    tile: Annotated[
        int, typer.Option(help="Side of the parts that a model sees, in pixels: less takes less memory.", rich_help_panel=MODEL)
    ] = 256,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=MODEL)] = None,
    dtype: Annotated[Dtype | None, typer.Option(help="Number format of the model's weights.", rich_help_panel=MODEL)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.", rich_help_panel=OUTPUT)] = False,
) -> None:
    """Make pictures larger: by Lanczos, which adds no detail, or with a model that does."""
    check("--scale", scale, 1.0, LARGEST_SCALE, low_open=True)
    check("--tile", tile, SMALLEST_TILE)
    screen = open_output(options)
    if model is None and (device or dtype):
        raise UsageError("--device and --dtype belong to --model", "Lanczos needs neither: leave them out")
    jobs = plan(files, output, overwrite=overwrite)
    if model:
        method = load_model(model, scale, tile, device, dtype, screen)
    else:
        method = Method("Lanczos", scale or SCALE, tile)
        screen.note("Lanczos: it adds no detail; for a model that does: --model FILE")
    output.mkdir(parents=True, exist_ok=True)
    run(jobs, method, screen)


def plan(files: Sequence[Path], folder: Path, *, overwrite: bool) -> list[Job]:
    """Raises: UsageError for whatever can be seen before anything is read: a file that is missing, a name twice or taken."""
    from aigc_cli.pictures.metadata import SUFFIXES
    from aigc_cli.pictures.names import folded, refuse_existing

    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder", "name a folder after -o")
    jobs: dict[str, Job] = {}
    for source in files:
        if not source.is_file():
            raise UsageError(f"there is no file {source}", "check the path")
        form = SUFFIXES.get(source.suffix.lower())
        target = folder / (source.name if form else f"{source.stem}.png")
        if earlier := jobs.get(folded(target.name)):
            raise UsageError(f"{earlier.source} and {source} would both become {target}", "give one another name, or take two runs")
        refuse_existing(target, overwrite=overwrite)
        jobs[folded(target.name)] = Job(source, target, form or "png")
    return list(jobs.values())


def load_model(path: Path, scale: float | None, tile: int, device: str | None, dtype: Dtype | None, screen: Output) -> Method:
    """Raises: as Upscaler and devices.choose."""
    from aigc_cli.backends import no_garbage_collection

    settings = read_settings(screen)
    with no_garbage_collection():
        from aigc_cli.backends.device import choose
        from aigc_cli.backends.image.upscale import Upscaler

        placement = choose(settings.get("device", device), settings.get("dtype", dtype))
        upscaler = Upscaler(path, placement, demanded=dtype not in (None, Dtype.AUTO))
    screen.detail(
        f"{path.name}: {upscaler.architecture}, {upscaler.scale}x, on {upscaler.device} in {str(upscaler.dtype).partition('.')[2]}"
    )
    return Method(path.name, scale or upscaler.scale, tile, upscaler, upscaler.scale)


def run(jobs: Sequence[Job], method: Method, screen: Output) -> None:
    """Raises: the error itself where there was one picture, SomeFailedError where others were made."""
    failed: list[AigcError] = []
    for job in jobs:
        try:
            say(follow(enlarge_file(job, method, screen), screen), screen)
        except AigcError as error:
            if len(jobs) == 1:
                raise
            failed.append(error)
            screen.caution(f"{job.source}: {error.message.removeprefix(f'{job.source} ')}", error.hint)
            if screen.json:
                screen.write_json({"source": str(job.source), "error": error.message})
    if failed:
        kind = SomeFailedError if len(failed) < len(jobs) else type(failed[0])
        raise kind(f"{len(failed)} of {len(jobs)} pictures could not be made larger", "the reasons stand above")


def enlarge_file(job: Job, method: Method, screen: Output) -> Generator[Event, None, dict[str, Any]]:
    """Yields the progress of a model. Returns: what is to be said of the file, which is whole or not there.

    Raises: UsageError for what is no picture or would be too large, OutOfMemoryError.
    """
    from aigc_cli.atomic_file import replace_file
    from aigc_cli.pictures.metadata import encode_image
    from aigc_cli.pictures.opening import open_picture
    from aigc_cli.pictures.upscale import enlarge_tiled, lanczos, target_size

    picture, remarks = open_picture(job.source)
    size = target_size(picture.size, method.scale, job.form)
    recipe, lost = source_recipe(job.source)
    if job.source.suffix.lower() != job.target.suffix.lower():
        remarks = (*remarks, f"written as {job.target.name}")
    for remark in (*remarks, *lost):
        screen.caution(f"{job.source}: {remark}")
    if method.enlarge and method.native:
        target_size(picture.size, method.native, "png")
        picture = yield from enlarge_tiled(picture, method.enlarge, method.native, method.tile)
    picture = picture if picture.size == size else lanczos(picture, size)
    if recipe:
        recipe = replace(recipe, edits=(*recipe.edits, method.edit(size)))
    data = encode_image(picture, recipe, job.form)
    replace_file(job.target, data)
    return {"source": str(job.source), "path": str(job.target), "width": size[0], "height": size[1], "by": method.name, "bytes": len(data)}


def source_recipe(path: Path) -> tuple[Recipe | None, tuple[str, ...]]:
    """How the picture was made, where it tells, and what of its metadata is not carried over."""
    from aigc_cli.pictures.metadata import read_recipe
    from aigc_cli.pictures.opening import open_file

    try:
        return read_recipe(path)
    except AigcError:
        with open_file(path) as file:
            has_exif = bool(file.getexif())
        return None, ("its EXIF data is not carried over",) if has_exif else ()


def say(made: dict[str, Any], screen: Output) -> None:
    if screen.json:
        screen.write_json(made)
        return
    screen.write(f"{sanitize(made['path']) if screen.stdout_is_terminal else made['path']}\n")
    screen.detail(f"{made['source']}: {made['width']} x {made['height']} by {made['by']}")

"""`aigc upscale`: larger pictures."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aigc_cli.commands.output import follow, open_output, read_settings
from aigc_cli.core.engine import Dtype
from aigc_cli.core.errors import AigcError, ExitStatus, OutOfMemoryError, UsageError
from aigc_cli.core.events import Event
from aigc_cli.core.request import check
from aigc_cli.options import MODEL, OUTPUT, OutputOptions
from aigc_cli.render.sanitize import sanitize

if TYPE_CHECKING:
    from PIL import Image

    from aigc_cli.batch.enlarged import Enlarged
    from aigc_cli.commands.upscale_plan import Job, Order, Plan
    from aigc_cli.pictures.recipe import Recipe
    from aigc_cli.render.output import Output

SCALE = 4.0  # without a model, which has one of its own
LARGEST_SCALE = 16.0
SMALLEST_TILE = 96  # pixels; in a smaller one little would lie outside the overlaps


class SomeFailedError(AigcError):
    """Of several pictures not all could be made larger."""

    status = ExitStatus.PARTIAL


@dataclass(frozen=True)
class Method:
    """How pictures become larger. native: what `enlarge` makes of a side, before Lanczos brings it to `scale`; None without a model."""

    name: str
    scale: float
    tile: int
    enlarge: Callable[[Image.Image], Image.Image] | None = None
    native: int | None = None

    @property
    def scales(self) -> tuple[float, ...]:
        """How many times as large a picture is in the end, and on its way there."""
        return (self.scale, self.native) if self.native else (self.scale,)

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
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave bad pictures out, and say which.", rich_help_panel=OUTPUT)] = False,
) -> None:
    """Make pictures larger: by Lanczos, which adds no detail, or with a model that does."""
    check("--scale", scale, 1.0, LARGEST_SCALE, low_open=True)
    check("--tile", tile, SMALLEST_TILE)
    screen = open_output(options)
    if model is None and (device or dtype):
        raise UsageError("--device and --dtype belong to --model", "Lanczos needs neither: leave them out")

    from aigc_cli.batch.output_folder import hold_output
    from aigc_cli.commands.upscale_plan import Order, fitting, make_plan

    order = Order(output, scale or (None if model else SCALE), model, None if dtype is Dtype.AUTO else dtype, overwrite, skip_bad)
    with hold_output(output):
        plan = make_plan(files, order, screen)
        if plan.there and plan.count > 1:
            screen.note(f"{plan.count} pictures, {len(plan.there)} of them there already")
        for source, record in plan.there:
            say(source, record, order, screen, was_there=True)
        if plan.jobs:
            method = load_model(model, scale, tile, device, dtype, screen) if model else lanczos_method(scale or SCALE, tile, screen)
            run(fitting(plan, method.scales, order, screen), plan, method, order, screen)


def lanczos_method(scale: float, tile: int, screen: Output) -> Method:
    screen.note("Lanczos: it adds no detail; for a model that does: --model FILE")
    return Method("Lanczos", scale, tile)


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


def run(jobs: Sequence[Job], plan: Plan, method: Method, order: Order, screen: Output) -> None:
    """Raises: the error itself where there is one picture, SomeFailedError where others were made; AigcError for a full disk."""
    from aigc_cli.batch.enlarged import save

    failed: list[AigcError] = []
    for job in jobs:
        try:
            content, size = follow(enlarged(job, method, screen), screen)
        except (AigcError, MemoryError) as caught:
            error = caught if isinstance(caught, AigcError) else OutOfMemoryError("out of memory", "use a smaller --scale")
            if plan.count == 1:
                raise error from None
            failed.append(error)
            screen.caution(f"{job.source}: {error.message.removeprefix(f'{job.source} ')}", error.hint)
            if screen.json:
                screen.write_json({"source": str(job.source), "error": error.message, "hint": error.hint})
        else:
            record = save(order.folder, job.key, job.source, job.target.name, content, size=size, by=method.name)
            say(job.source, record, order, screen)
    if failed:
        kind = SomeFailedError if len(failed) < plan.count else type(failed[0])
        hint = "the reasons stand above; the same command tries them again"
        raise kind(f"{len(failed)} of {plan.count} pictures could not be made larger", hint)


def enlarged(job: Job, method: Method, screen: Output) -> Generator[Event, None, tuple[bytes, tuple[int, int]]]:
    """Yields the progress of a model. Returns: the larger picture's file and its size.

    Raises: UsageError for a picture that has changed into none, AigcError for whatever goes wrong in a model.
    """
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
        picture = yield from enlarge_tiled(picture, method.enlarge, method.native, method.tile)
    picture = picture if picture.size == size else lanczos(picture, size)
    if recipe:
        recipe = replace(recipe, edits=(*recipe.edits, method.edit(size)))
    return encode_image(picture, recipe, job.form), size


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


def say(source: Path, record: Enlarged, order: Order, screen: Output, *, was_there: bool = False) -> None:
    path = str(order.folder / record.file)
    if screen.json:
        made = {"source": str(source), "path": path, "width": record.width, "height": record.height, "by": record.by, "bytes": record.size}
        screen.write_json({**made, "was_there": True} if was_there else made)
        return
    screen.write(f"{sanitize(path) if screen.stdout_is_terminal else path}\n")
    screen.detail(f"{source}: {record.width} x {record.height} by {record.by}" + (", there already" if was_there else ""))

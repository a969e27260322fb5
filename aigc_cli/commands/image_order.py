"""What a run of `aigc image` is to do: its options and settings, looked at as a whole before anything slow happens."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aigc_cli.batch.columns import colour, image_columns
from aigc_cli.batch.matrix import parse_matrix
from aigc_cli.batch.plan import Common, check_row, fields_of
from aigc_cli.batch.rows import PromptRow
from aigc_cli.batch.wildcards import Wildcards
from aigc_cli.commands.image_inputs import InputPictures
from aigc_cli.commands.image_options import (
    BatchOptions,
    ChoiceOptions,
    DrawingOptions,
    FileOptions,
    Format,
    ImageModelOptions,
    PictureOptions,
    given,
)
from aigc_cli.core.errors import UsageError
from aigc_cli.core.image import ImageEngineOptions, Previews
from aigc_cli.core.request import check
from aigc_cli.core.sampler_names import known_sampler
from aigc_cli.models.adapters import split_scale
from aigc_cli.settings import Settings
from aigc_cli.text_input import gather_text

if TYPE_CHECKING:
    from aigc_cli.pictures.recipe import Recipe

STDOUT = "-"
CLIP = "clip"
PICTURE_FILES = (".png", ".jpg", ".jpeg", ".webp")
SUFFIXES = {Format.PNG: ".png", Format.JPEG: ".jpg", Format.WEBP: ".webp"}


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which pictures are kept. score: the CLIP's name.  best_of: how many are drawn for `keep` that are kept.

    draft_steps: of the drafts that are chosen among; None: they are finished pictures.
    """

    score: str
    aesthetic: Path | None = None
    best_of: int | None = None
    draft_steps: int | None = None
    keep: int = 1
    min_score: float | None = None


@dataclass(frozen=True, kw_only=True)
class FileStyle:
    """How pictures are written. quality: None is the format's own."""

    form: Format = Format.PNG
    quality: int | None = None
    template: str
    overwrite: bool = False
    has_metadata: bool = True

    @property
    def suffix(self) -> str:
        return SUFFIXES[self.form]


@dataclass(frozen=True, kw_only=True)
class Order:
    """A run. prompts: the file that its rows stand in; None: there is the one `row`.

    seed: of the first row; None where none was given.  batch_size: None is for the engine to say.  choice: None keeps all.
    folder: None is stdout.  then: how the picture was made that is to be made again; remarks: what is to be said of that.
    """

    prompts: str | None
    row: PromptRow | None
    common: Common
    seed: int | None
    model: str
    engine: ImageEngineOptions
    assume_yes: bool
    batch_size: int | None
    skip_bad: bool
    choice: Choice | None
    folder: Path | None
    style: FileStyle
    grid: bool
    webpage: bool
    previews: Previews
    then: Recipe | None = None
    remarks: tuple[str, ...] = ()


def make_order(
    prompt: str | None,
    replayed: Path | None,
    model: ImageModelOptions,
    drawing: DrawingOptions,
    pictures: PictureOptions,
    batch: BatchOptions,
    choosing: ChoiceOptions,
    files: FileOptions,
    settings: Settings,
    previews: Previews,
) -> Order:
    """Raises: UsageError for options that contradict one another, a row of the command line that is bad, or a folder that is none."""
    if batch.prompts and (prompt is not None or replayed):
        raise UsageError(f"--prompts and {'--from' if replayed else 'a prompt'} contradict each other", "leave out one of the two")
    choice = make_choice(choosing, batch)
    values = dict(given(drawing, pictures))
    seed = values.pop("seed", None)
    check_files(values)
    if "scheduler" in values:
        values["scheduler"] = known_sampler(values["scheduler"])
    for folder in batch.wildcards or ():
        if not folder.is_dir():
            raise UsageError(f"--wildcards {folder}: no such folder", "check the path")
    common = Common(
        settings=values,
        n=drawn_of_each(choice, batch),
        matrix=parse_matrix(batch.matrix or (), image_columns(Path())),
        wildcards=Wildcards(batch.wildcards or ()),
    )
    refuse_transparent_jpeg({}, common, files.format)
    engine = engine_options(model, settings)
    then = row = None
    remarks: tuple[str, ...] = ()
    if replayed:
        from aigc_cli.commands.image_replay import Replay, read_replay

        text = typed_prompt(prompt) if prompt == STDOUT else prompt
        replay: Replay = read_replay(replayed, text, values, common.matrix[0], seed, engine, model.model)
        then, row, engine, seed, remarks = replay.recipe, replay.row, replay.engine, replay.seed, replay.remarks
        name = replay.model or model_name(model, settings)
    else:
        row = None if batch.prompts else PromptRow({"prompt": typed_prompt(prompt)})
        name = model_name(model, settings)
    for fields in (values, row.values if row else {}):
        if "background" in fields:
            colour(fields["background"])
    if row:
        check_row(row, common)
        InputPictures().check(row, common)
        refuse_transparent_jpeg(row.values, common, files.format)
    order = Order(
        prompts=batch.prompts,
        row=row,
        common=common,
        seed=seed,
        model=name,
        engine=engine,
        assume_yes=model.yes,
        batch_size=parse_batch_size(batch.batch_size),
        skip_bad=batch.skip_bad,
        choice=choice,
        folder=output_folder(files.output),
        style=make_style(files),
        grid=files.grid,
        webpage=files.webpage,
        previews=previews,
        then=then,
        remarks=remarks,
    )
    if order.folder is None:
        refuse_for_stdout(order)
    return order


def drawn_of_each(choice: Choice | None, batch: BatchOptions) -> int:
    """Pictures of each prompt."""
    if choice and choice.best_of:
        return choice.best_of
    return 1 if batch.n is None else batch.n


def typed_prompt(argument: str | None) -> str:
    """Without the spaces around it, as in a file of prompts. Raises: UsageError where there is none."""
    hint = 'say what to draw: aigc image "a red fox"; or name a file of prompts: --prompts FILE'
    return gather_text(argument, [], lacking="there is no prompt to draw", hint=hint).strip()


def model_name(model: ImageModelOptions, settings: Settings) -> str:
    if name := settings.get("image_model", model.model):
        return str(name)
    raise UsageError(
        "no image model is chosen", "name one: -m NAME (see: aigc models list), or for always: aigc config set image_model NAME"
    )


def engine_options(model: ImageModelOptions, settings: Settings) -> ImageEngineOptions:
    adapters = tuple(split_scale(text) for text in model.adapter or ())
    for flag, path in (
        *(("--adapter", path) for path, _ in adapters),
        *(("--embedding", path) for path in model.embedding or ()),
        *(("--controlnet", model.controlnet), ("--vae", model.vae), ("--preview-decoder", model.preview_decoder)),
    ):
        if path is not None and not path.exists():
            raise UsageError(f"{flag} {path}: no such file or folder", "check the path")
    return ImageEngineOptions(
        device=str(settings.get("device", model.device)),
        dtype=str(settings.get("dtype", model.dtype)),
        adapters=adapters,
        controlnet=model.controlnet,
        vae=model.vae,
        embeddings=tuple(model.embedding or ()),
        cache=bool(model.cache),
        offload=model.offload,
        compile=model.compile,
        preview_decoder=model.preview_decoder,
    )


def check_files(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, Path) and not value.is_file():
            flag = f"--{name.replace('_', '-')}"
            if value.is_dir():
                raise UsageError(f"{flag} {value} is a folder, not a picture", f"name one of the files in it: {flag} FILE")
            raise UsageError(f"{flag} {value}: no such file", "check the path")


def refuse_transparent_jpeg(values: Mapping[str, Any], common: Common, form: Format) -> None:
    """values: of a row. Raises: UsageError."""
    if form is Format.JPEG and any(fields_of(values, common, point).get("transparent") for point in common.matrix):
        raise UsageError("--transparent and --format jpeg contradict each other", "take png or webp, or lay it on --background white")


def make_choice(options: ChoiceOptions, batch: BatchOptions) -> Choice | None:
    """None where every picture is kept without a score. CLIP scores when something is to be chosen and none is named."""
    check("--best-of", options.best_of, 2)
    check("--draft-steps", options.draft_steps, 1)
    check("--keep", options.keep, 1, options.best_of or math.inf)
    for flag, value in (("--draft-steps", options.draft_steps), ("--keep", options.keep)):
        if value is not None and options.best_of is None:
            raise UsageError(f"{flag} belongs to --best-of", "say among how many to choose: --best-of 16")
    if options.best_of and batch.n is not None:
        raise UsageError("-n and --best-of contradict each other", "--keep says how many of the best are kept")
    if options.aesthetic is not None and not options.aesthetic.is_file():
        raise UsageError(f"--aesthetic {options.aesthetic}: no such file", "check the path")
    asked = {name: value for name, value in dataclasses.asdict(options).items() if value is not None}
    return Choice(**{"score": CLIP, **asked}) if asked else None


def parse_batch_size(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isascii() or not text.isdigit() or not int(text):
        raise UsageError(f"--batch-size must be auto or a number from 1 on, not {text!r}", "for example --batch-size 4")
    return int(text)


def output_folder(path: Path) -> Path | None:
    if str(path) == STDOUT:
        return None
    if path.suffix.lower() in PICTURE_FILES and not path.is_dir():
        raise UsageError(f"-o takes a folder, and {path} looks like a file", f"for one picture: aigc image ... -o - > {path}")
    if path.exists() and not path.is_dir():
        raise UsageError(f"{path} is a file, not a folder", "name a folder after -o")
    return path


def make_style(files: FileOptions) -> FileStyle:
    from aigc_cli.pictures.names import TEMPLATE, check_template, without_ending

    check("--quality", files.quality, 1, 100)
    if files.quality is not None and files.format is Format.PNG:
        raise UsageError("--quality belongs to --format jpeg or webp", "a PNG loses nothing: leave it out")
    template = TEMPLATE if files.filename is None else without_ending(files.filename, SUFFIXES[files.format], "--filename")
    check_template(template)
    return FileStyle(
        form=files.format, quality=files.quality, template=template, overwrite=files.overwrite, has_metadata=not files.no_metadata
    )


def refuse_for_stdout(order: Order) -> None:
    """What needs a folder. How many pictures there are is known once they are planned."""
    wanted = {"--grid": order.grid, "--webpage": order.webpage, "--skip-bad": order.skip_bad, "--overwrite": order.style.overwrite}
    if flag := next((flag for flag, is_wanted in wanted.items() if is_wanted), None):
        raise UsageError(f"{flag} needs a folder, and -o - is stdout", f"leave out {flag}, or name a folder after -o")

"""The options of `aigc image`, as dataclasses that Typer sees the fields of. None means "not given"."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from aigc_cli.core.engine import Dtype
from aigc_cli.options import MODEL, OUTPUT

DRAWING, PICTURES, BATCH, CHOICE = "Drawing", "From pictures", "Batch", "Choosing"


class Format(StrEnum):
    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"


class Preview(StrEnum):
    EVERY = "every"
    FINAL = "final"
    NONE = "none"


@dataclass
class ImageModelOptions:
    """Which model, what goes on top of it, and where it runs."""

    model: Annotated[
        str | None,
        typer.Option("-m", "--model", help="Built-in name, alias, diffusers folder, checkpoint file, or Hub id.", rich_help_panel=MODEL),
    ] = None
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=MODEL)] = None
    dtype: Annotated[Dtype | None, typer.Option(help="Number format of the weights.", rich_help_panel=MODEL)] = None
    adapter: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH[:SCALE]", help="LoRA of diffusers, PEFT or kohya; repeatable.", rich_help_panel=MODEL),
    ] = None
    controlnet: Annotated[Path | None, typer.Option(help="ControlNet, for --control-image.", rich_help_panel=MODEL)] = None
    vae: Annotated[Path | None, typer.Option(help="VAE in place of the model's own.", rich_help_panel=MODEL)] = None
    embedding: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="Textual inversion: a word that prompts may use; repeatable.", rich_help_panel=MODEL),
    ] = None
    cache: Annotated[
        bool | None,
        typer.Option(
            "--cache",
            help="Reuse work between steps: faster, and not the same picture; -v tells how far off that was.",
            rich_help_panel=MODEL,
        ),
    ] = None
    offload: Annotated[bool, typer.Option("--offload", help="Keep on the GPU only what is at work.", rich_help_panel=MODEL)] = False
    compile: Annotated[bool, typer.Option("--compile", help="Compile the model first: pays for many pictures.", rich_help_panel=MODEL)] = (
        False
    )
    preview_decoder: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Tiny decoder (TAESD) for sharper previews.", rich_help_panel=OUTPUT),
    ] = None
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before a large download.", rich_help_panel=MODEL)] = False


@dataclass
class DrawingOptions:
    """How a picture is drawn; what is not given is the model's own."""

    negative_prompt: Annotated[str | None, typer.Option(help="What not to draw.", rich_help_panel=DRAWING)] = None
    width: Annotated[int | None, typer.Option(help="Pixels.", rich_help_panel=DRAWING)] = None
    height: Annotated[int | None, typer.Option(help="Pixels.", rich_help_panel=DRAWING)] = None
    steps: Annotated[int | None, typer.Option(help="Steps of denoising.", rich_help_panel=DRAWING)] = None
    guidance_scale: Annotated[float | None, typer.Option(help="How strictly to follow the prompt.", rich_help_panel=DRAWING)] = None
    scheduler: Annotated[
        str | None, typer.Option(help="Sampler: ddim, euler, euler-a, dpm++2m, dpm++2m-karras, unipc, lcm ...", rich_help_panel=DRAWING)
    ] = None
    clip_skip: Annotated[int | None, typer.Option(help="Layers of the text encoder to leave out at its end.", rich_help_panel=DRAWING)] = (
        None
    )
    seed: Annotated[
        int | None, typer.Option(help="Same seed, same picture; without one it is drawn and reported.", rich_help_panel=DRAWING)
    ] = None
    transparent: Annotated[
        bool | None, typer.Option("--transparent", help="Keep the transparency, of a model that draws with it.", rich_help_panel=DRAWING)
    ] = None
    background: Annotated[
        str | None,
        typer.Option(metavar="COLOUR", help="What is seen through it otherwise: a name or #rrggbb; white.", rich_help_panel=DRAWING),
    ] = None
    variation: Annotated[
        float | None, typer.Option(help="Share of the noise from another seed: 0.1 changes a little.", rich_help_panel=DRAWING)
    ] = None
    variation_seed: Annotated[int | None, typer.Option(help="That other seed; counts up with -n.", rich_help_panel=DRAWING)] = None


@dataclass
class PictureOptions:
    """Pictures to begin with."""

    init_image: Annotated[Path | None, typer.Option(help="Picture to begin with.", rich_help_panel=PICTURES)] = None
    strength: Annotated[float | None, typer.Option(help="How much of it may change: from 0 to 1, all.", rich_help_panel=PICTURES)] = None
    mask: Annotated[Path | None, typer.Option(help="Draw anew only where this picture is white.", rich_help_panel=PICTURES)] = None
    outpaint: Annotated[int | None, typer.Option(help="Pixels to add on every side.", rich_help_panel=PICTURES)] = None
    control_image: Annotated[Path | None, typer.Option(help="Picture that the ControlNet follows.", rich_help_panel=PICTURES)] = None
    control_scale: Annotated[float | None, typer.Option(help="How closely.", rich_help_panel=PICTURES)] = None


@dataclass
class BatchOptions:
    """Many pictures in one run."""

    prompts: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Prompts: .txt (without lines that begin with #), .csv, .tsv, .json, .jsonl; - is stdin. Begun again, it goes on.",
            rich_help_panel=BATCH,
        ),
    ] = None
    n: Annotated[int | None, typer.Option("-n", help="Pictures of each prompt.", rich_help_panel=BATCH)] = None
    matrix: Annotated[
        list[str] | None,
        typer.Option(metavar="OPTION=A,B", help="Every combination of values; repeatable.", rich_help_panel=BATCH),
    ] = None
    wildcards: Annotated[
        list[Path] | None, typer.Option(metavar="FOLDER", help="Where __animal__ finds animal.txt; repeatable.", rich_help_panel=BATCH)
    ] = None
    batch_size: Annotated[str, typer.Option(metavar="N|auto", help="Pictures drawn together.", rich_help_panel=BATCH)] = "auto"
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave bad rows out, into rejects.jsonl.", rich_help_panel=BATCH)] = False


@dataclass
class ChoiceOptions:
    """Which pictures are worth keeping."""

    score: Annotated[
        str | None,
        typer.Option(metavar="CLIP", help="Score pictures: clip, a CLIP folder or Hub id.", rich_help_panel=CHOICE),
    ] = None
    aesthetic: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Score by this aesthetic head on CLIP instead.", rich_help_panel=CHOICE)
    ] = None
    best_of: Annotated[int | None, typer.Option(help="Draw so many, keep the best.", rich_help_panel=CHOICE)] = None
    draft_steps: Annotated[
        int | None, typer.Option(help="With --best-of: choose among drafts of so many steps.", rich_help_panel=CHOICE)
    ] = None
    keep: Annotated[int | None, typer.Option(help="With --best-of: how many are kept.", rich_help_panel=CHOICE)] = None
    min_score: Annotated[float | None, typer.Option(help="Keep none that scores less.", rich_help_panel=CHOICE)] = None


@dataclass
class FileOptions:
    """Where pictures go and what is in their files."""

    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where they go; - is stdout, for one.", rich_help_panel=OUTPUT)
    ] = Path("out")
    filename: Annotated[str | None, typer.Option(metavar="TEMPLATE", help="Names of the files.", rich_help_panel=OUTPUT)] = None
    format: Annotated[Format, typer.Option(help="Of the files.", rich_help_panel=OUTPUT)] = Format.PNG
    quality: Annotated[int | None, typer.Option(help="1 to 100, of JPEG and WebP (100: lossless).", rich_help_panel=OUTPUT)] = None
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there and have the same name.", rich_help_panel=OUTPUT)
    ] = False
    no_metadata: Annotated[
        bool, typer.Option("--no-metadata", help="Do not write into the files how they were made.", rich_help_panel=OUTPUT)
    ] = False
    grid: Annotated[bool, typer.Option("--grid", help="Also a contact sheet, grid.jpg.", rich_help_panel=OUTPUT)] = False
    webpage: Annotated[bool, typer.Option("--webpage", help="Also a gallery of the folder, index.html.", rich_help_panel=OUTPUT)] = False
    preview: Annotated[
        Preview | None, typer.Option(help="Pictures in the terminal: every step, final ones, none.", rich_help_panel=OUTPUT)
    ] = None


def given(*groups: DrawingOptions | PictureOptions) -> Mapping[str, Any]:
    """The settings that the command line names, by ImageRequest's fields."""
    values = {each.name: getattr(group, each.name) for group in groups for each in dataclasses.fields(group)}
    return {name: value for name, value in values.items() if value is not None}

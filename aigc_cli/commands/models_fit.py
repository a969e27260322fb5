"""`aigc models fit`: what a model takes, and what this machine has."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from aigc_cli.commands.output import open_output
from aigc_cli.core.errors import ExitStatus, ModelError
from aigc_cli.core.units import format_count, format_size
from aigc_cli.options import OutputOptions

if TYPE_CHECKING:
    from aigc_cli.models.facts import Facts
    from aigc_cli.models.fit import Fit, Memory
    from aigc_cli.models.fit_image import ImageFit
    from aigc_cli.models.pipeline_facts import PipelineFacts
    from aigc_cli.render.output import Output


def fit_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Built-in name, alias, folder, file or Hub id.")],
    options: OutputOptions,
) -> None:
    """Tell from its config whether a model fits this machine, and in which dtype; exits 4 if it does not."""
    from aigc_cli.models.facts import Facts
    from aigc_cli.models.gather import gather_facts

    output = open_output(options)
    facts = gather_facts(name)
    fitting = fit_text(name, facts, output) if isinstance(facts, Facts) else fit_pipeline(name, facts, output)
    if not fitting:
        raise typer.Exit(ExitStatus.OUT_OF_MEMORY)


def fit_text(name: str, facts: Facts, output: Output) -> bool:
    """Tells of a language model; whether it fits."""
    from aigc_cli.models.fit import fits
    from aigc_cli.render.table import write_table

    if facts.parameters is None:
        raise ModelError(f"nobody says how many parameters {name} has", "download it first: aigc models pull")
    results = fits(facts.parameters, facts, memories())
    best = next((result for result in results if result.fits), None)
    if output.json:
        output.write_json(
            {"name": name, **asdict(facts), "best": asdict(best) if best else None, "fits": [asdict(result) for result in results]}
        )
    else:
        write_table(
            output, ("DEVICE", "DTYPE", "FITS", "WEIGHTS", "FREE", "CONTEXT", "KV CACHE PER 1K"), [row(result) for result in results]
        )
        output.note(verdict(name, facts, best))
    return best is not None


def fit_pipeline(name: str, facts: PipelineFacts, output: Output) -> bool:
    """Tells of an image model; whether it fits."""
    from aigc_cli.models.fit_image import image_fits
    from aigc_cli.render.table import write_table

    results = image_fits(facts, memories())
    best = next((result for result in results if result.fits), None)
    if output.json:
        width, height = facts.own_size
        known = {"pipeline": facts.pipeline, "parameters": facts.count, "width": width, "height": height, "size": facts.size}
        output.write_json({"name": name, **known, "best": asdict(best) if best else None, "fits": [asdict(result) for result in results]})
    else:
        headings = ("DEVICE", "DTYPE", "FITS", "NEEDS", "FREE", "WEIGHTS", "TEXT ENCODERS", "ONE PICTURE")
        write_table(output, headings, [image_row(result) for result in results])
        output.note(image_verdict(name, facts, best))
    return best is not None


def memories() -> list[Memory]:
    """Every device of this machine and what is free on it, the best first."""
    from aigc_cli.backends.device import TorchProbe, choose, memory_free
    from aigc_cli.models.fit import Memory

    probe = TorchProbe()
    found = []
    for device in (*(gpu.device for gpu in probe.gpus()), "cpu"):
        best = choose(device, "auto", probe).dtype
        found.append(Memory(device, memory_free(device), tuple(dict.fromkeys((best, "float32")))))
    return found


def row(result: Fit) -> tuple[str, ...]:
    context = "-" if result.context is None else str(result.context)
    kv_cache = "-" if result.kv_cache is None else format_size(result.kv_cache)
    return (
        result.device,
        result.dtype,
        "yes" if result.fits else "no",
        format_size(result.weights),
        format_size(result.free),
        context,
        kv_cache,
    )


def image_row(result: ImageFit) -> tuple[str, ...]:
    sizes = (result.needs, result.free, result.weights, result.text_encoders, max(result.denoise, result.decode))
    return (result.device, result.dtype, "yes" if result.fits else "no", *map(format_size, sizes))


def image_verdict(name: str, facts: PipelineFacts, best: ImageFit | None) -> str:
    width, height = facts.own_size
    size = f"{name} has {format_count(facts.count)} parameters and draws {width} x {height}"
    if best is None:
        return f"{size}: it does not fit into the free memory of this machine"
    how = {"whole": "", "text encoders freed": " once its text encoders are freed, which happens by itself", "offload": " with --offload"}
    return f"{size}: it fits on {best.device} in {best.dtype}{how[best.measure]}"


def verdict(name: str, facts: Facts, best: Fit | None) -> str:
    size = f"{name} has {format_count(facts.parameters or 0)} parameters"
    if best is None:
        return f"{size}: it does not fit into the free memory of this machine"
    context = "" if best.context is None else f", with room for {best.context} tokens of context"
    return f"{size}: it fits on {best.device} in {best.dtype}{context}"

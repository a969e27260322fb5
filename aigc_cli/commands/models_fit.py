"""`aigc models fit`: what a model takes, and what this machine has."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aigc_cli.commands.output import open_output
from aigc_cli.core.errors import ExitStatus, ModelError, UsageError
from aigc_cli.core.units import format_count, format_size
from aigc_cli.options import OutputOptions

if TYPE_CHECKING:
    from aigc_cli.models.facts import Facts
    from aigc_cli.models.fit import Fit, Memory


def fit_model(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Built-in name, alias, folder, file or Hub id.")],
    options: OutputOptions,
) -> None:
    """Tell from its config whether a model fits this machine, and in which dtype; exits 4 if it does not."""
    from aigc_cli.models.fit import fits
    from aigc_cli.render.table import write_table

    output = open_output(options)
    facts = gather_facts(name)
    if facts.parameters is None:
        raise ModelError(f"nobody says how many parameters {name} has", "download it first: aigc models pull")
    results = fits(facts.parameters, facts, memories())
    best = next((result for result in results if result.fits), None)
    if options.json:
        output.write_json(
            {"name": name, **asdict(facts), "best": asdict(best) if best else None, "fits": [asdict(result) for result in results]}
        )
    else:
        write_table(
            output, ("DEVICE", "DTYPE", "FITS", "WEIGHTS", "FREE", "CONTEXT", "KV CACHE PER 1K"), [row(result) for result in results]
        )
        output.note(verdict(name, facts, best))
    if best is None:
        raise typer.Exit(ExitStatus.OUT_OF_MEMORY)


def gather_facts(name: str) -> Facts:
    """From the files where they are here, else from the Hub, without the weights. Raises: ModelError, UsageError."""
    from aigc_cli.models.catalogue import Builtin
    from aigc_cli.models.check import check_model
    from aigc_cli.models.facts import model_facts
    from aigc_cli.models.hub_cache import cached_model
    from aigc_cli.models.names import HubId, identify

    match identify(name):
        case Builtin() as builtin:
            return model_facts(check_model(builtin.path)[1])
        case Path() as path:
            return model_facts(check_model(path)[1])
        case HubId() as hub_id:
            if hub_id.entry and hub_id.entry.modality == "image":
                raise UsageError(f"{name} is an image model, and fit knows language models only", "see: aigc models show")
            if cached := cached_model(hub_id):
                return model_facts(cached)
            from aigc_cli.models.hub_api import inspect, remote_facts

            return remote_facts(inspect(hub_id))
        case _:
            raise UsageError(f"{name} runs on another machine", "fit is for models that run here")


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


def verdict(name: str, facts: Facts, best: Fit | None) -> str:
    size = f"{name} has {format_count(facts.parameters or 0)} parameters"
    if best is None:
        return f"{size}: it does not fit into the free memory of this machine"
    context = "" if best.context is None else f", with room for {best.context} tokens of context"
    return f"{size}: it fits on {best.device} in {best.dtype}{context}"

"""`aigc finetune`: a model trained on one's own data, the gain proved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aigc_cli.commands.finetune_options import (
    DataOptions,
    MethodOptions,
    OptimizationOptions,
    PaceOptions,
    ProofOptions,
    RunOptions,
    TrainedModelOptions,
    changed_request,
    given_options,
    make_request,
)
from aigc_cli.commands.output import open_output, read_settings
from aigc_cli.core.errors import UsageError
from aigc_cli.options import OutputOptions

if TYPE_CHECKING:
    from aigc_cli.commands.finetune_run import Order
    from aigc_cli.core.finetune import FinetuneRequest
    from aigc_cli.settings import Settings

OF_THE_RUN = ("output", "device", "dtype")  # they stand in a config file, but are no part of the request
OF_A_START = ("config", "dry_run", "resume", "overwrite", "tensorboard", "html", "yes")


def finetune(
    model: TrainedModelOptions,
    rows: DataOptions,
    method: MethodOptions,
    optimization: OptimizationOptions,
    pace: PaceOptions,
    proof: ProofOptions,
    start: RunOptions,
    options: OutputOptions,
    data: Annotated[
        list[str] | None, typer.Argument(help="Files and folders with rows; - is stdin. jsonl, json, csv, tsv, txt, md, parquet.")
    ] = None,
) -> None:
    """Train a model on your own data: checked first, resumable after anything, measured before and after."""
    screen = open_output(options)
    settings = read_settings(screen)
    values = given_options(data or [], model, rows, method, optimization, pace, proof, start)
    if start.config:
        from aigc_cli.store.train_config import read_config

        values = {**read_config(start.config), **values}
    order = make_order(values, start, model, settings)

    from aigc_cli.commands.finetune_run import dry_run, train

    if start.dry_run:
        from aigc_cli.commands.output import follow

        preflight = follow(dry_run(order), screen)
        if options.json:
            screen.write_json({"event": "preflight", "t": 0.0, **preflight.to_json()})
        else:
            from aigc_cli.render.preflight import render_preflight

            render_preflight(preflight, screen)
        return
    events = train(order)
    if options.json:
        from aigc_cli.render.jsonl import render_json

        render_json(events, screen)
        return
    from aigc_cli.commands.report import read_report
    from aigc_cli.render.training import render_training
    from aigc_cli.render.training_summary import write_summary

    if render_training(events, screen):
        assert order.folder is not None
        write_summary(read_report(order.folder), order.folder, screen)


def make_order(values: dict[str, Any], start: RunOptions, model: TrainedModelOptions, settings: Settings) -> Order:
    """Raises: UsageError for options that contradict one another, or a folder that is not named."""
    from aigc_cli.commands.finetune_run import Order
    from aigc_cli.store.run_record import read_record

    folder = values.get("output")
    if folder is None and (start.resume or values.get("data")) and not start.dry_run:  # without data that is said first
        raise UsageError("there is no folder for the result", "name one: -o mine/")
    if start.dry_run and start.resume:
        raise UsageError("--dry-run and --resume contradict each other", "leave out one of the two")
    request = requested(values, start.resume, settings)
    tensorboard, html = start.tensorboard, start.html
    if start.resume:  # where the run was begun goes before today's settings
        record = read_record(Path(values["output"]))
        values = {"device": record.device, "dtype": record.dtype, **values}
        tensorboard, html = tensorboard or record.tensorboard, html or record.html
    return Order(
        request=request,
        folder=Path(folder) if folder else None,
        device=str(settings.get("device", values.get("device"))),
        dtype=str(settings.get("dtype", values.get("dtype"))),
        assume_yes=model.yes,
        resume=start.resume,
        overwrite=start.overwrite,
        tensorboard=tensorboard,
        html=html,
    )


def requested(values: dict[str, Any], resume: bool, settings: Settings) -> FinetuneRequest:
    """What the options ask for; with --resume and no data, what the run was begun with, the options laid over it."""
    from aigc_cli.commands.finetune_continue import continued
    from aigc_cli.store.run_record import recorded_request

    asked = {name: value for name, value in values.items() if name not in (*OF_THE_RUN, *OF_A_START)}
    if resume and not asked.get("data"):
        return changed_request(recorded_request(Path(values["output"])), asked)
    if "continue" in asked and not asked.get("from_scratch"):
        asked = continued(asked)
    model = asked.get("from_scratch") or settings.get("model", asked.get("model"))
    return make_request(asked, str(model))

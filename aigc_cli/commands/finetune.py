"""`aigc finetune`: a model trained on one's own data, the gain proved."""

from __future__ import annotations

from typing import Annotated

import typer

from aigc_cli.commands.finetune_options import (
    DataOptions,
    MethodOptions,
    OptimizationOptions,
    PaceOptions,
    PictureOptions,
    ProofOptions,
    RunOptions,
    TrainedModelOptions,
    given_options,
)
from aigc_cli.commands.output import open_output, read_settings
from aigc_cli.options import OutputOptions


def finetune(
    model: TrainedModelOptions,
    rows: DataOptions,
    method: MethodOptions,
    optimization: OptimizationOptions,
    pace: PaceOptions,
    proof: ProofOptions,
    pictures: PictureOptions,
    start: RunOptions,
    options: OutputOptions,
    data: Annotated[
        list[str] | None,
        typer.Argument(help="Files and folders with rows (jsonl, json, csv, tsv, txt, md, parquet), - is stdin; with --image of pictures."),
    ] = None,
) -> None:
    """Train a model on your own data: checked first, resumable after anything, measured before and after."""
    screen = open_output(options)
    settings = read_settings(screen)
    values = given_options(data or [], model, rows, method, optimization, pace, proof, pictures, start)
    if start.config:
        from aigc_cli.store.train_config import read_config

        values = {**read_config(start.config), **values}

    from aigc_cli.commands.finetune_order import make_order
    from aigc_cli.commands.finetune_run import dry_run, train

    order = make_order(values, start, model, settings)

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

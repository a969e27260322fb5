"""The stages of `aigc finetune`: the data checked, the folder claimed, the model trained, the result and its report written."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aigc_cli.commands.finetune_kind import Kind, LoadedRun, Trainer, kind_of
from aigc_cli.commands.finetune_order import Order
from aigc_cli.commands.finetune_record import make_record, versions
from aigc_cli.commands.finetune_stages import (
    TO_RESUME,
    before_first_step,
    forgetting,
    newest_checkpoint,
    room_wanted,
    stopped,
    train_first_part,
    watched,
)
from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Caution, Done, Event, Progress
from aigc_cli.core.extras import extra
from aigc_cli.signals import deferred, leaving_at_once
from aigc_cli.store import run_record
from aigc_cli.store.event_log import read_events
from aigc_cli.store.run_folder import RunFolder, begin, claim, install, make_way, remove_replaced
from aigc_cli.training.preflight import Preflight

if TYPE_CHECKING:
    from aigc_cli.backends.train.run import Outcome


def dry_run(order: Order) -> Generator[Event, None, Preflight]:
    """All that can be said before training. Nothing of it is kept."""
    refuse_several_processes()
    kind = kind_of(order.request)
    kind.refuse_model(order.request)
    with tempfile.TemporaryDirectory(prefix="aigc-") as name:
        run = RunFolder(Path(name))
        dataset = yield from checked_data(order, kind, run, rejects=None)
        trainer = yield from open_trainer(order, kind)
        prepared = yield from trainer.prepare(dataset, run.data)
        preflight = prepared.preflight(kind.facts(dataset, prepared))
        if preflight.fits is False:
            return preflight
        loaded = yield from prepared.load()
        return dataclasses.replace(preflight, seconds=kind.seconds(prepared, loaded))


def train(order: Order) -> Generator[Event, None, None]:
    """The whole run; it ends with Done unless it was interrupted, for which the exception stands.

    Raises: BusyError, UsageError, ModelError, OutOfMemoryError, AigcError; KeyboardInterrupt or Terminated once all is saved.
    """
    assert order.folder is not None
    refuse_several_processes()
    require_extras(order)
    refuse_odd_name(order.folder)
    kind = kind_of(order.request)
    kind.refuse_model(order.request)
    with ExitStack() as stack:
        run = stack.enter_context(claim(order.folder, resume=order.resume, overwrite=order.overwrite))
        if order.resume and run_record.read_record(run.path).status == "complete":
            message = f"the run in {run.path} is finished: there is nothing to resume"
            raise UsageError(message, f"see what came of it: aigc report {run.path}")
        dataset = yield from checked_data(order, kind, run, run.rejects)
        trainer = yield from open_trainer(order, kind)
        yield from start(order, kind, run, dataset, trainer)
        with forgetting(order, run):
            first = yield from before_first_step(run, kind.first_part(trainer, dataset, run.data))
        if first:
            yield from train_first_part(order, run, first)
        with forgetting(order, run, has_begun=first is not None):
            stage = make_ready(order, kind, run, dataset, trainer, stack)
            preflight, loaded = yield from before_first_step(run, stage, first)
        remove_replaced(run)
        pending = stack.enter_context(deferred())
        stack.enter_context(room_wanted(run, TO_RESUME))
        found = yield from newest_checkpoint(order, run.checkpoints)
        steps = loaded.train(run.checkpoints, found, run.data, lambda: pending.number is not None)
        outcome = yield from watched(order, run, found, steps)
        if outcome.finish_reason == "interrupted":
            yield from stopped(run)
            pending.raise_pending()
        yield from finish(order, kind, run, loaded, preflight, outcome)


def make_ready(
    order: Order, kind: Kind, run: RunFolder, dataset: Any, trainer: Trainer, stack: ExitStack
) -> Generator[Event, None, tuple[Preflight, LoadedRun]]:
    """stack: closes what stays open while training goes on. Raises: OutOfMemoryError for a run that cannot fit, and others."""
    prepared = yield from trainer.prepare(dataset, run.data)
    stack.callback(prepared.data.close)
    preflight = prepared.preflight(kind.facts(dataset, prepared))
    yield kind.planned(preflight)
    prepared.refuse_misfit()
    yield from kind.inherit(order.request, run)
    yield Progress(phase="loading the model", done=0, unit="")
    with leaving_at_once():
        return preflight, (yield from prepared.load())


def require_extras(order: Order) -> None:
    """Packages whose absence would else show when hours have been spent. Raises: AigcError."""
    if order.html:
        with extra("plot", "--html"):
            import matplotlib  # noqa: F401
    if order.tensorboard:
        with extra("tensorboard", "--tensorboard"):
            import tensorboardX  # noqa: F401


def refuse_odd_name(folder: Path) -> None:
    """Raises: UsageError where the library that writes the tokenizer would fail in the end."""
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise UsageError(f"the folder's name {folder} is not UTF-8: no model can be written there", "choose another -o") from None


def refuse_several_processes() -> None:
    """Raises: UsageError under a launcher, whose processes would wait for one another without end."""
    count = os.environ.get("WORLD_SIZE", "1")
    if count not in ("", "0", "1"):
        message = f"aigc finetune trains in one process, and this is one of {count} (WORLD_SIZE)"
        raise UsageError(message, "start it without torchrun, accelerate launch and the like")


def checked_data(order: Order, kind: Kind, run: RunFolder, rejects: Path | None) -> Generator[Event, None, Any]:
    if not order.resume:
        make_way(run, [run.rejects.name])
    return (yield from kind.check(order, run, rejects))


def open_trainer(order: Order, kind: Kind) -> Generator[Event, None, Trainer]:
    """Resolves the model's name, and opens the trainer; no weights are read yet."""
    source = yield from kind.source(order)
    yield Progress(phase="loading the libraries", done=0, unit="")
    with leaving_at_once():
        return kind.open(source, order)


def start(order: Order, kind: Kind, run: RunFolder, dataset: Any, trainer: Trainer) -> Iterator[Event]:
    """Begins the run, or makes sure that it is still the same. Raises: UsageError with all that has changed."""
    record = make_record(order, kind, dataset, trainer.base)
    if not order.resume:
        begin(run, record)
        return
    old = run_record.read_record(run.path)
    run_record.refuse_changes(old, record)
    for change in run_record.version_changes(old, record):
        yield Caution(message=f"{change}: the rest of the run may differ in its last digits")
    run_record.write_record(run.path, dataclasses.replace(record, created=old.created, made=old.made))


def finish(order: Order, kind: Kind, run: RunFolder, loaded: LoadedRun, preflight: Preflight, outcome: Outcome) -> Iterator[Event]:
    """Writes the result and what is said about it; only then is the run complete."""
    from aigc_cli.render.model_card import model_card
    from aigc_cli.training.report_build import build_report

    report = build_report(
        read_events(run.log),
        request=loaded.request,
        model=loaded.facts,
        data=preflight.data,
        versions=versions(order.request),
        seconds=outcome.seconds,
        finish_reason=outcome.finish_reason,
        best_step=outcome.best_step,
        estimated_memory=preflight.total_memory,
        hardest=outcome.hardest,
        searched=outcome.searched,
        labels=outcome.scores.labels,
        signatures=outcome.scores.signatures,
    )
    title = run.path.absolute().name
    pages = {"README.md": model_card(report, title=title, hub_id=loaded.source.repo), "report.json": to_text(report.to_json())}
    if order.html:
        from aigc_cli.render.report_html import report_html

        pages["report.html"] = report_html(report, run.path)

    def write(folder: Path) -> None:
        loaded.write_result(folder)
        for name, text in pages.items():
            (folder / name).write_text(text, "utf-8", "backslashreplace")  # a file's name may not be UTF-8

    install(run, write)
    run_record.set_status(run.path, "complete")
    kind.tidy(run)
    yield Done(
        t=outcome.seconds,
        finish_reason=outcome.finish_reason,
        seconds=outcome.seconds,
        seed=order.request.seed,
        model=loaded.facts.name,
        revision=loaded.facts.revision,
        device=loaded.facts.device,
        dtype=loaded.facts.dtype,
        mode=loaded.facts.mode,
        peak_memory=report.training.peak_memory,
    )


def to_text(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"

"""The stages of `aigc finetune`: the data checked, the folder claimed, the model trained, the result and its report written."""

from __future__ import annotations

import dataclasses
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from aigc_cli import __version__
from aigc_cli.core.engine import EngineOptions, ModelSource
from aigc_cli.core.errors import AigcError, UsageError
from aigc_cli.core.events import Caution, Checkpoint, Done, Event
from aigc_cli.core.extras import extra
from aigc_cli.core.finetune import FinetuneRequest
from aigc_cli.core.sample import Split
from aigc_cli.data.check import check
from aigc_cli.data.dataset import Dataset
from aigc_cli.data.spool import spool
from aigc_cli.signals import deferred, leaving_at_once
from aigc_cli.store import checkpoints, run_record
from aigc_cli.store.event_log import logged, read_events, rewind
from aigc_cli.store.fingerprint import fingerprint
from aigc_cli.store.run_folder import RunFolder, begin, claim, install, remove_run
from aigc_cli.store.run_record import RunRecord
from aigc_cli.training.data_facts import DataFacts, DataFile, LengthBin, SplitFacts
from aigc_cli.training.preflight import Preflight

if TYPE_CHECKING:
    from aigc_cli.backends.train.loaded_run import LoadedRun
    from aigc_cli.backends.train.prepared_run import PreparedRun
    from aigc_cli.backends.train.run import Outcome
    from aigc_cli.backends.train.trainer import TextTrainer

PACKAGES = ("torch", "transformers", "peft", "accelerate", "tokenizers")


@dataclass(frozen=True, kw_only=True)
class Order:
    """A request, and how it is to be carried out. folder: None only for a dry run, which writes nothing."""

    request: FinetuneRequest
    folder: Path | None
    device: str
    dtype: str
    assume_yes: bool = False
    resume: bool = False
    overwrite: bool = False
    tensorboard: bool = False
    html: bool = False


def dry_run(order: Order) -> Generator[Event, None, Preflight]:
    """All that can be said before training. Nothing of it is kept."""
    with tempfile.TemporaryDirectory(prefix="aigc-") as name:
        folder = Path(name)
        dataset = yield from checked_data(order, folder, folder / "rejects.jsonl")
        trainer = yield from open_trainer(order)
        prepared = yield from trainer.prepare(dataset, folder / "data")
        preflight = prepared.preflight(data_facts(dataset, prepared))
        if not preflight.fits:
            return preflight
        loaded = yield from prepared.load()
        return dataclasses.replace(preflight, seconds=loaded.seconds_per_token() * prepared.training_tokens)


def train(order: Order) -> Generator[Event, None, None]:
    """The whole run; it ends with Done unless it was interrupted, for which the exception stands.

    Raises: BusyError, UsageError, ModelError, OutOfMemoryError, AigcError; KeyboardInterrupt or Terminated once all is saved.
    """
    assert order.folder is not None
    if order.html:
        with extra("plot", "--html"):
            import matplotlib  # noqa: F401 - else its absence would show when all is done
    with ExitStack() as stack:
        run = stack.enter_context(claim(order.folder, resume=order.resume, overwrite=order.overwrite))
        if order.resume and run_record.read_record(run.path).status == "complete":
            message = f"the run in {run.path} is finished: there is nothing to resume"
            raise UsageError(message, f"see what came of it: aigc report {run.path}")
        dataset = yield from checked_data(order, run.path, run.rejects)
        trainer = yield from open_trainer(order)
        yield from start(order, run, dataset, trainer)
        with forgetting(order, run):
            prepared = yield from trainer.prepare(dataset, run.data)
            prepared.refuse_misfit()
            preflight = prepared.preflight(data_facts(dataset, prepared))
            yield from carry_over(order.request, run)
            with leaving_at_once():
                loaded = yield from prepared.load()
        pending = stack.enter_context(deferred())
        outcome = yield from watched(order, run, loaded, lambda: pending.number is not None)
        if outcome.finish_reason == "interrupted":
            run_record.set_status(run.path, "stopped")
            yield Caution(message=f"stopped, with all that was done saved; go on with: aigc finetune --resume -o {run.path}")
            pending.raise_pending()
        yield from finish(order, run, loaded, preflight, outcome)


def checked_data(order: Order, folder: Path, rejects: Path) -> Generator[Event, None, Dataset]:
    """folder: where what comes from stdin is kept, for the second pass and for a resume."""
    data = order.request.data
    paths = [str(stdin_file(folder, order.resume)) if path == "-" else path for path in data.paths]
    rejects.unlink(missing_ok=True)
    dataset = yield from check(
        paths,
        data.validation,
        data.test,
        val_split=data.val_split,
        test_split=data.test_split,
        skip_bad=data.skip_bad,
        rejects=rejects,
    )
    return dataset


def stdin_file(folder: Path, resume: bool) -> Path:
    """What came from stdin: now, or when the run was begun."""
    kept = sorted(folder.glob("stdin.*"))
    if kept and resume:
        return kept[0]
    for old in kept:
        old.unlink()
    if sys.stdin.isatty():
        raise UsageError("there is nothing on stdin to train on", "pipe rows in, or name a file")
    return spool(sys.stdin.buffer, folder / "stdin")


def open_trainer(order: Order) -> Generator[Event, None, TextTrainer]:
    """Resolves the model's name, and opens the trainer; no weights are read yet."""
    source = yield from source_of(order)
    with leaving_at_once():
        from aigc_cli.backends import open_trainer

        return open_trainer(source, EngineOptions(device=order.device, dtype=order.dtype), order.request)


def source_of(order: Order) -> Generator[Event, None, ModelSource]:
    from aigc_cli.models.resolve import resolve
    from aigc_cli.render.confirm import terminal_confirm

    request = order.request
    if request.tuning.from_scratch:
        return ModelSource(name=request.tuning.from_scratch, kind="folder")
    whole_model = request.tuning.continue_from if not request.tuning.is_adapter else None
    source = yield from resolve(whole_model or request.model, assume_yes=order.assume_yes, confirm=terminal_confirm())
    if source.kind == "openai":
        raise UsageError(f"{source.name} is at a remote endpoint, where nothing can be trained", "choose a model on this machine")
    return source


def start(order: Order, run: RunFolder, dataset: Dataset, trainer: TextTrainer) -> Iterator[Event]:
    """Begins the run, or makes sure that it is still the same. Raises: UsageError with all that has changed."""
    record = make_record(order, dataset, trainer)
    if not order.resume:
        begin(run, record)
        return
    old = run_record.read_record(run.path)
    run_record.refuse_changes(old, record)
    for change in run_record.version_changes(old, record):
        yield Caution(message=f"{change}: the rest of the run may differ in its last digits")
    run_record.write_record(run.path, dataclasses.replace(record, created=old.created, made=old.made))


@contextmanager
def forgetting(order: Order, run: RunFolder) -> Iterator[None]:
    """A new run that is refused before its first step was none: the folder is free for another try."""
    try:
        yield
    except AigcError:
        if not order.resume:
            remove_run(run, order.request)
        raise


def make_record(order: Order, dataset: Dataset, trainer: TextTrainer) -> RunRecord:
    request, source, placement = order.request, trainer.base.source, trainer.base.placement
    models = [Path(name) for name in (request.tuning.from_scratch, request.tuning.continue_from) if name]
    models += [source.path] if source.path else []
    return RunRecord(
        aigc=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        status="running",
        working_folder=os.getcwd(),
        request=request,
        files=tuple(run_record.DataFile(file.path, file.sha256, split) for split, files in dataset.files.items() for file in files),
        revision=source.revision,
        fingerprint=fingerprint(*models),
        device=placement.device,
        dtype=placement.dtype,
        versions=versions(),
    )


def versions() -> dict[str, str]:
    return {"aigc": __version__, "python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


def carry_over(request: FinetuneRequest, run: RunFolder) -> Iterator[Event]:
    """Brings along the rows that earlier results were measured on: "earlier", and from before that "earlier-2" and so on."""
    if request.tuning.continue_from is None:
        return
    before = RunFolder(Path(request.tuning.continue_from)).data
    if not (before / "validation").is_dir():
        yield Caution(message=f"{before.parent} kept no rows back: what was learnt there cannot be measured again")
        return
    for source, name in [(before / "validation", "earlier"), *((path, next_name(path.name)) for path in before.glob("earlier*"))]:
        if not (run.data / name).exists():
            temporary = run.data / f".{name}.tmp"
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.copytree(source, temporary)
            temporary.rename(run.data / name)


def next_name(name: str) -> str:
    """earlier -> earlier-2 -> earlier-3"""
    _, _, number = name.partition("-")
    return f"earlier-{int(number or 1) + 1}"


def watched(order: Order, run: RunFolder, loaded: LoadedRun, should_stop: Any) -> Generator[Event, None, Outcome]:
    """Training, its events written to the log on their way."""
    found = checkpoints.newest(run.checkpoints) if order.resume else None
    for path, flaw in found.passed_over if found else ():
        yield Caution(message=f"{path} is damaged ({flaw}): the checkpoint before it is taken")
    rewind(run.log, Checkpoint(step=found.step, path=str(found.path), best=found.best) if found else None)
    outcome: list[Outcome] = []

    def training() -> Iterator[Event]:
        outcome.append((yield from loaded.train(run.checkpoints, found, run.data, should_stop)))

    events: Iterable[Event] = training()
    if order.tensorboard:
        from aigc_cli.render.tensorboard import with_tensorboard

        events = with_tensorboard(events, run.path / "tensorboard")
    yield from logged(events, run.log)
    return outcome[0]


def finish(order: Order, run: RunFolder, loaded: LoadedRun, preflight: Preflight, outcome: Outcome) -> Iterator[Event]:
    """Writes the result and what is said about it; only then is the run complete."""
    from aigc_cli.render.model_card import model_card
    from aigc_cli.training.report_build import build_report

    report = build_report(
        read_events(run.log),
        request=loaded.learner.request,
        model=loaded.facts,
        data=preflight.data,
        versions=versions(),
        seconds=outcome.seconds,
        finish_reason=outcome.finish_reason,
        best_step=outcome.best_step,
        estimated_memory=preflight.total_memory,
        hardest=outcome.hardest,
        labels=outcome.scores.labels,
        signatures=outcome.scores.signatures,
    )
    title = run.path.absolute().name
    pages = {"README.md": model_card(report, title=title, hub_id=loaded.source.repo), "report.json": to_text(report.to_json())}
    if order.html:
        from aigc_cli.render.report_html import report_html

        pages["report.html"] = report_html(report)

    def write(folder: Path) -> None:
        loaded.write_result(folder)
        for name, text in pages.items():
            (folder / name).write_text(text, "utf-8")

    install(run, write)
    run_record.set_status(run.path, "complete")
    shutil.rmtree(run.data / "train", ignore_errors=True)
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


def data_facts(dataset: Dataset, prepared: PreparedRun) -> DataFacts:
    """What the check and the tokenizer found, in one."""
    statistics = prepared.data.statistics
    is_split = dataset.rule.test > 0
    return DataFacts(
        files=tuple(
            DataFile(path=file.path, sha256=file.sha256, size=file.size, split=None if split == "train" and is_split else split)
            for split, files in dataset.files.items()
            for file in files
        ),
        splits={
            cast(Split, split): SplitFacts(rows=found.rows, tokens=found.tokens, trained_tokens=found.trained_tokens)
            for split, found in statistics.splits.items()
        },
        row_format=dataset.row_format,
        max_length=prepared.max_length,
        cut=statistics.cut_rows,
        untrained=statistics.left_out,
        duplicates=dataset.duplicates,
        leaked=dataset.leaked,
        left_out=dataset.left_out,
        lengths=tuple(LengthBin(up_to=up_to, rows=rows) for up_to, rows in statistics.histogram),
    )

"""A run of `aigc image`, from its rows to its files: everything that happens, as events."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from aigc_cli.backends import open_image_engine
from aigc_cli.batch.columns import image_columns
from aigc_cli.batch.found import Found, pictures_there
from aigc_cli.batch.manifest import Record, read_records
from aigc_cli.batch.output_folder import hold_output
from aigc_cli.batch.plan import Item, check_row, groups
from aigc_cli.batch.rows import PromptRow, read_rows
from aigc_cli.batch.source import folder_of
from aigc_cli.commands.image_choice import Chooser, open_judge, without_drafts
from aigc_cli.commands.image_draw import Drawer, Failure, Outcome, Picture, Rejected
from aigc_cli.commands.image_files import Folder, Stdout, refuse_taken_names, saved, told_rejected
from aigc_cli.commands.image_inputs import InputPictures
from aigc_cli.commands.image_order import Order, refuse_transparent_jpeg
from aigc_cli.commands.image_plan import Plan, kept_otherwise, left_over, make_plan, settled
from aigc_cli.commands.image_sheets import write_page, write_sheets
from aigc_cli.core.errors import AigcError, ExitStatus, UsageError
from aigc_cli.core.events import Caution, Done, Event, ImageSaved, ImagesPlanned, Progress
from aigc_cli.core.image import ImageEngine
from aigc_cli.data.bad_rows import ROWS_SHOWN
from aigc_cli.models.resolve_clip import resolve_clip
from aigc_cli.models.resolve_image import resolve_image
from aigc_cli.pictures.names import check_name
from aigc_cli.pictures.recipe import differences
from aigc_cli.render.confirm import terminal_confirm
from aigc_cli.render.images import PICTURES
from aigc_cli.signals import leaving_at_once
from aigc_cli.store.lock import writable

REJECTS = "rejects.jsonl"


class SomeFailedError(AigcError):
    """Of several pictures not all could be drawn."""

    status = ExitStatus.PARTIAL


def run(order: Order, write: Callable[[bytes], None]) -> Iterator[Event]:
    """write: puts the bytes of a picture on stdout, where they are to go there.

    Raises: UsageError for bad input, before the model is loaded; BusyError; SomeFailedError at the end; whatever stops all of it.
    """
    started = time.perf_counter()
    for remark in order.remarks:
        yield Caution(message=remark)
    with hold_output(order.folder) if order.folder else nullcontext():
        rows = yield from read_order(order)
        with leaving_at_once():
            source = yield from resolve_image(order.model, assume_yes=order.assume_yes, confirm=terminal_confirm())
            clip = yield from resolved_clip(order)
        records = (yield from read_records(order.folder)) if order.folder else ()
        plan = make_plan(order, rows, source, clip, records)
        refuse_taken_names(order, plan.items, records)
        found = (yield from settled(plan, order.folder, records)) if order.folder else Found()
        yield from draw_plan(plan, found, records, write, started)


def read_order(order: Order) -> Generator[Event, None, Sequence[PromptRow]]:
    if order.row:
        return [order.row]
    assert order.prompts
    pictures = InputPictures()

    def check(row: PromptRow) -> None:
        check_row(row, order.common)
        pictures.check(row, order.common)
        refuse_transparent_jpeg(row.values, order.common, order.style.form)
        if "n" in row.values and order.choice and order.choice.best_of:
            raise UsageError("n and --best-of contradict each other", "--keep says how many of the best are kept")
        if filename := row.values.get("filename"):
            check_name(filename, order.style.suffix, "")

    columns = image_columns(folder_of(order.prompts))
    rejects = order.folder / REJECTS if order.skip_bad and order.folder else None
    with writable(rejects.parent) if rejects else nullcontext():
        return (yield from read_rows(order.prompts, columns, check=check, rejects=rejects))


def resolved_clip(order: Order) -> Generator[Event, None, Path | None]:
    if order.choice is None:
        return None
    return (yield from resolve_clip(order.choice.score, assume_yes=order.assume_yes, confirm=terminal_confirm()))


def draw_plan(plan: Plan, found: Found, records: Sequence[Record], write: Callable[[bytes], None], started: float) -> Iterator[Event]:
    """found: what of the plan an earlier run has left.  records: of all that was ever drawn into the folder."""
    order = plan.order
    earlier = [as_planned(found.done[item.key], item) for item in plan.items if item.key in found.done]
    there = [record for record in earlier if record.file]
    yield ImagesPlanned(pictures=plan.kept, done=len(there), seed=plan.seed, is_seed_new=plan.is_seed_new)
    yield from kept_otherwise(there, order.style.has_metadata)
    for record in earlier:
        assert order.folder
        yield saved(order.folder, record, was_there=True) if record.file else told_rejected(record, was_there=True)
    target: Folder | Stdout = Stdout(order.style, plan.recipes, write)
    if order.folder:
        target = Folder(order.folder, order.style, plan.recipes, plan.seed, found, is_choice=plan.candidates > 1)
    facts: dict[str, Any] = {}
    failures: list[Failure] = []
    if len(earlier) < len(plan.items):
        facts = yield from draw_missing(plan, target, len(there), failures)
    if isinstance(target, Folder):
        yield from show_together(plan, target, records)
    yield Done(finish_reason="stop", seconds=time.perf_counter() - started, seed=plan.seed, **facts)
    if failures:
        raise failed(failures, len(plan.items))
    if isinstance(target, Stdout) and not target.has_written:
        best = "" if target.best_rejected is None else f" ({target.best_rejected:.3f})"
        raise AigcError(f"the picture scores too little to be kept{best}, and nothing is written", "lower --min-score, or see --best-of")


def as_planned(record: Record, item: Item) -> Record:
    """With the place that the picture has in this plan."""
    return dataclasses.replace(record, index=item.index, origin=item.origin or None)


def failed(failures: Sequence[Failure], count: int) -> AigcError:
    if count == 1:
        return failures[0].error
    hint = "the reasons stand above and in the manifest; the same command tries them again"
    return SomeFailedError(f"{len(failures)} of {count} pictures could not be drawn", hint)


def draw_missing(plan: Plan, target: Folder | Stdout, done: int, failures: list[Failure]) -> Generator[Event, None, dict[str, Any]]:
    """Draws and keeps what is missing; the facts for Done. failures: are added to."""
    yield Progress(phase=f"loading {plan.source.name}", done=0)
    plan.recipes.start_hashing()
    with leaving_at_once():
        engine = open_image_engine(plan.source, plan.order.engine)
    try:
        yield engine.loaded
        yield from compared(plan, engine)
        items, bad = yield from completed(plan, engine)
        if isinstance(target, Folder):
            yield from target.name(items)
        for outcome in bad:
            if told := given_up(outcome, plan, target, failures):
                yield told
        yield from kept(outcomes(plan, engine, items, settled_keys(target)), plan, engine, target, done, failures)
        loaded = engine.loaded
        facts = {"model": loaded.model, "revision": loaded.revision, "device": loaded.device, "dtype": loaded.dtype}
        return {**facts, "peak_memory": engine.peak_memory()}
    finally:
        engine.close()


def settled_keys(target: Folder | Stdout) -> set[str]:
    return set(target.done) if isinstance(target, Folder) else set()


def compared(plan: Plan, engine: ImageEngine) -> Iterator[Event]:
    """With --from: what may make the picture another one today."""
    if then := plan.order.then:
        now = plan.recipes.common(engine.loaded)
        now = dataclasses.replace(now, parts=(*now.parts, *plan.recipes.pictures_of(plan.items[0])))
        for difference in differences(then, now):
            yield Caution(message=f"{difference}: the picture may differ")


def completed(plan: Plan, engine: ImageEngine) -> Generator[Event, None, tuple[list[Item], list[Failure]]]:
    """The items with nothing left to the model, and with --skip-bad those that it cannot do.

    What it must change is said once for all that it concerns. Raises: UsageError for what it cannot do.
    """
    items: list[Item] = []
    bad: list[Failure] = []
    remarks: dict[str, int] = {}
    for item in plan.items:
        try:
            request, said = engine.complete(item.request)
        except AigcError as error:
            bad.append(Failure(item, error))
        else:
            items.append(dataclasses.replace(item, request=request))
            for remark in said:
                remarks[remark] = remarks.get(remark, 0) + 1
    if bad and not (plan.order.skip_bad and items):
        raise bad[0].error if len(plan.items) == 1 else cannot_be_drawn(bad, len(plan.items))
    for remark, count in [*remarks.items()][:ROWS_SHOWN]:
        yield Caution(message=remark + (f" ({count} pictures)" if count > 1 else ""))
    if len(remarks) > ROWS_SHOWN:
        yield Caution(message=f"... and {len(remarks) - ROWS_SHOWN} more remarks of this kind")
    return items, bad


def cannot_be_drawn(bad: Sequence[Failure], count: int) -> UsageError:
    first = [f"{failure.item.origin or failure.item.request.prompt}: {failure.error.message}" for failure in bad[:ROWS_SHOWN]]
    more = [f"... and {len(bad) - ROWS_SHOWN} more"] if len(bad) > ROWS_SHOWN else []
    message = "\n".join([f"{len(bad)} of {count} pictures cannot be drawn by this model", *first, *more])
    return UsageError(message, bad[0].error.hint or "mend them, or leave them out with --skip-bad")


def outcomes(plan: Plan, engine: ImageEngine, items: Sequence[Item], done: set[str]) -> Iterator[Event | Outcome]:
    """Group by group, formed from the whole plan; a group of which nothing is missing is passed over."""
    choice = plan.order.choice
    drawer = Drawer(engine, plan.order.previews)
    fixed = plan.order.batch_size
    grouped = partial(groups, kind=engine.kind, batch_size=engine.batch_size if fixed is None else lambda request: fixed)
    tasks = chunks(items, plan) if choice and choice.best_of else grouped(items)
    missing = [task for task in tasks if any(item.key not in done for item in task)]
    yield from drawer.encode_ahead([item.request for task in missing for item in task])
    draw: Callable[[Sequence[Item]], Iterator[Event | Outcome]] = drawer.draw
    if choice:
        assert plan.clip
        with leaving_at_once():
            judge = open_judge(choice, plan.clip, engine.loaded.device)
        yield from without_drafts(items, choice)
        chooser = Chooser(choice, judge, drawer, grouped, done)
        draw = chooser.draw_best if choice.best_of else chooser.draw
    for task in missing:
        yield from draw(task)


def chunks(items: Sequence[Item], plan: Plan) -> list[list[Item]]:
    """The candidates that compete with each other; those that the model cannot do are missing among them."""
    together: dict[int, list[Item]] = {}
    for item in items:
        together.setdefault(plan.choice_of(item), []).append(item)
    return list(together.values())


def kept(
    events: Iterator[Event | Outcome], plan: Plan, engine: ImageEngine, target: Folder | Stdout, done: int, failures: list[Failure]
) -> Iterator[Event]:
    """Saves what is drawn and passes on what is said; tells how many of the pictures are done before the next are drawn."""
    is_told = False
    for event in events:
        result: Event | None
        if isinstance(event, Picture):
            try:
                result = target.keep(event, engine.loaded)
            except UsageError as error:  # its recipe is longer than a JPEG takes
                result = given_up(Failure(event.item, error), plan, target, failures)
            done += isinstance(result, ImageSaved)
            is_told = False
        elif isinstance(event, Rejected):
            result = target.reject(event)
        elif isinstance(event, Failure):
            result = given_up(event, plan, target, failures)
        else:
            if not is_told and plan.kept > 1:
                yield Progress(phase="drawing", done=done, total=plan.kept, unit=PICTURES)
                is_told = True
            result = event
        if result:
            yield result


def given_up(failure: Failure, plan: Plan, target: Folder | Stdout, failures: list[Failure]) -> Event | None:
    """Writes it down. Returns: what is to be said, None where the error that ends the run says it."""
    if told := target.fail(failure):
        failures.append(failure)
    return None if plan.is_single else told


def show_together(plan: Plan, target: Folder, records: Sequence[Record]) -> Iterator[Event]:
    """The sheet of this run's pictures, in the order of the plan, and the page of all in the folder; which of those are not its own."""
    order, files = plan.order, target.files(plan.items)
    everything = (*records, *target.done.values())
    if order.prompts:
        yield from left_over(plan, target.path, everything)
    if order.grid and files:
        matrix = order.common.matrix
        columns = len({repr(point[last]) for point in matrix}) if (last := next(reversed([*matrix[0]]), None)) else None
        yield from write_sheets(target.path, files, order.style, columns)
    if order.webpage and (names := pictures_there(target.path, everything)):
        yield from write_page(target.path, [target.path / name for name in names])

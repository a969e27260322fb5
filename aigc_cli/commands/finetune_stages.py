"""What a stage of `aigc finetune` is surrounded with: how it is stopped and gone on with, its log, a disk that fills up."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from aigc_cli.commands.finetune_kind import FirstPart
from aigc_cli.commands.finetune_order import Order
from aigc_cli.core.errors import AigcError, DiskFullError, OutOfMemoryError
from aigc_cli.core.events import Caution, Checkpoint, Event
from aigc_cli.signals import Terminated, deferred
from aigc_cli.store import checkpoints, run_record
from aigc_cli.store.checkpoints import Found
from aigc_cli.store.durable import met_full_disk
from aigc_cli.store.event_log import logged, rewind
from aigc_cli.store.run_folder import RunFolder, remove_replaced, withdraw

if TYPE_CHECKING:
    from aigc_cli.backends.train.run import Outcome

T = TypeVar("T")

TO_RESUME = "make room, then run the command again with --resume"


@contextmanager
def forgetting(order: Order, run: RunFolder, *, has_begun: bool = False) -> Iterator[None]:
    """A new run that is refused before its first step was none: the folder is as it was, and free for another try.

    has_begun: a part of the model was trained already, which nobody wants to lose.
    """
    try:
        with room_wanted(run, TO_RESUME if order.resume or has_begun else "make room, or choose another -o"):
            yield
    except DiskFullError:
        raise
    except AigcError:
        if not (order.resume or has_begun):
            withdraw(run)
        raise


@contextmanager
def room_wanted(run: RunFolder, hint: str) -> Iterator[None]:
    """Raises: AigcError in place of the OSError of a full disk."""
    try:
        yield
    except OSError as error:
        if met_full_disk(error, run.path):
            raise AigcError(f"no room is left in {run.path}", hint) from error
        raise


def before_first_step(run: RunFolder, stage: Generator[Event, None, T], trained: FirstPart | None = None) -> Generator[Event, None, T]:
    """Says of a run that is stopped while it is made ready how it goes on, and of one that fails what is kept. trained: of the model."""
    try:
        return (yield from stage)
    except (KeyboardInterrupt, Terminated):
        kept = f"; the run before it is kept in {run.replaced} until then" if run.is_replacing else ""
        yield Caution(message=f"stopped before the first step; {to_go_on(run)}{kept}")
        raise
    except AigcError:
        if trained:
            yield Caution(message=f"the {trained.split} is trained, and kept; {to_go_on(run)}")
        raise


def stopped(run: RunFolder) -> Iterator[Event]:
    run_record.set_status(run.path, "stopped")
    yield Caution(message=f"stopped, with all that was done saved; {to_go_on(run)}")


def to_go_on(run: RunFolder) -> str:
    return f"go on with: aigc finetune --resume -o {run.path}"


def train_first_part(order: Order, run: RunFolder, part: FirstPart) -> Generator[Event, None, None]:
    """Raises: as `train`; stopped, it goes on from its own last checkpoint when the run is resumed."""
    remove_replaced(run)
    with deferred() as pending, room_wanted(run, TO_RESUME):
        found = yield from newest_checkpoint(order, part.checkpoints)
        steps = part.train(found, lambda: pending.number is not None)
        outcome = yield from watched(order, run, found, steps, part.split)
        if outcome.finish_reason == "interrupted":
            yield from stopped(run)
            pending.raise_pending()


def newest_checkpoint(order: Order, folder: Path) -> Generator[Event, None, Found | None]:
    """What to go on from; None for a new run, and where none was saved."""
    found = checkpoints.newest(folder) if order.resume else None
    for path, flaw in found.passed_over if found else ():
        yield Caution(message=f"{path} is damaged ({flaw}): the checkpoint before it is taken")
    return found


def watched(
    order: Order, run: RunFolder, found: Found | None, steps: Generator[Event, None, Outcome], split: str | None = None
) -> Generator[Event, None, Outcome]:
    """Training, its events written to the log on their way. found: whence it goes on.  split: as in TrainStep."""
    rewind(run.log, Checkpoint(step=found.step, path=str(found.path), best=found.best, split=split) if found else None, split)
    outcome: list[Outcome] = []

    def training() -> Generator[Event, None, None]:
        outcome.append((yield from steps))

    source = training()
    events: Iterable[Event] = source
    if order.tensorboard:
        from aigc_cli.render.tensorboard import with_tensorboard

        events = with_tensorboard(events, run.path / "tensorboard" / (split or ""))
    try:
        yield from logged(events, run.log)
    except OSError as error:
        source.throw(error)  # merely closed, it would save a step that the log does not know
    except OutOfMemoryError as error:
        raise OutOfMemoryError(error.message, f"{error.hint}; or with more of it free, {to_go_on(run)}") from error
    return outcome[0]

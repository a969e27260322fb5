"""Training's events as TensorBoard files, on their way to whoever shows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from aigc_cli.core.events import Evaluation, Event, SampleSheet, TrainStep
from aigc_cli.core.extras import extra

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

OF_STEP = ("loss", "learning_rate", "grad_norm", "tokens_per_second", "pictures_per_second", "epoch")


def with_tensorboard(events: Iterable[Event], folder: Path) -> Iterator[Event]:
    """Passes every event on once its figures and pictures are written below `folder`.

    A run that was resumed writes a file of its own, which tells TensorBoard to forget what the one before had to say
    from that step on.

    Raises: AigcError before the first event where the extra `tensorboard` is missing.
    """
    with extra("tensorboard", "--tensorboard"):
        from tensorboardX import SummaryWriter
    writer = None
    try:
        for event in events:
            if isinstance(event, TrainStep | Evaluation | SampleSheet):
                writer = writer or SummaryWriter(str(folder), purge_step=event.step)
                add_pictures(writer, event) if isinstance(event, SampleSheet) else add_scalars(writer, event)
            yield event
    finally:
        if writer:
            writer.close()


def add_scalars(writer: SummaryWriter, event: TrainStep | Evaluation) -> None:
    if isinstance(event, Evaluation):
        writer.add_scalar(f"{event.split}/{event.name}", event.value, event.step)
        return
    for name in OF_STEP:
        if (value := getattr(event, name)) is not None:
            writer.add_scalar(f"train/{name}", value, event.step)


def add_pictures(writer: SummaryWriter, event: SampleSheet) -> None:
    import numpy
    from PIL import Image

    with Image.open(event.path) as sheet:
        writer.add_image("samples", numpy.asarray(sheet.convert("RGB")), event.step, dataformats="HWC")

"""What `aigc finetune` writes down of a run: with what it was begun, and what its data were."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, cast

from aigc_cli import __version__
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.sample import Split
from aigc_cli.data.dataset import Dataset
from aigc_cli.store import run_record
from aigc_cli.store.fingerprint import fingerprint
from aigc_cli.store.run_record import RunRecord
from aigc_cli.training.data_facts import DataFacts, DataFile, LengthBin, SplitFacts

if TYPE_CHECKING:
    from aigc_cli.backends.device import Placement
    from aigc_cli.backends.train.text.prepared_run import PreparedRun
    from aigc_cli.commands.finetune_run import Order

PACKAGES = ("torch", "transformers", "peft", "accelerate", "tokenizers")


def make_record(order: Order, dataset: Dataset, source: ModelSource, placement: Placement) -> RunRecord:
    """With what a run is begun. Reads the model's files once, for their fingerprint."""
    request = order.request
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
        tensorboard=order.tensorboard,
        html=order.html,
    )


def versions() -> dict[str, str]:
    return {"aigc": __version__, "python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


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
        in_pieces=statistics.split_rows,
        untrained=statistics.left_out,
        duplicates=dataset.duplicates,
        leaked=dataset.leaked,
        left_out=dataset.left_out,
        lengths=tuple(LengthBin(up_to=up_to, rows=rows) for up_to, rows in statistics.histogram),
    )

"""Moments in a run at which the tests of `aigc finetune` have it killed or stopped."""

from __future__ import annotations

import pkgutil
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

TRAIN = "aigc_cli.backends.train"

MOMENTS = {  # what a kill falls into: the call of a function, just before it
    "tokens written, but not what they came to": (f"{TRAIN}.text.prepared_data.write_questions", 1),
    "base being measured": (f"{TRAIN}.run.Run._measure_base", 1),
    "first step": (f"{TRAIN}.update.Updater.update", 1),
    "after the first checkpoint": (f"{TRAIN}.update.Updater.update", 4),
    "validation, before its checkpoint": (f"{TRAIN}.text.measure.TextMeasurer.evaluate", 3),
    "checkpoint half written": ("aigc_cli.store.checkpoints.seal", 3),
    "checkpoint there, but not in the log": ("aigc_cli.store.checkpoints.prune", 3),
    "last step": (f"{TRAIN}.update.Updater.update", 7),
    "tuned being measured": (f"{TRAIN}.text.measure.TextMeasurer.hardest", 1),
    "result half written": ("aigc_cli.store.run_folder.sync_tree", 1),
    "result there, run not marked complete": ("aigc_cli.store.run_record.set_status", 1),
}


@contextmanager
def copied_when_called(moments: Mapping[str, tuple[str, int]], folder: Path) -> Iterator[None]:
    """Copies a run's folder at each of the moments: what lies on disk then is what kill -9 leaves."""
    calls: Counter[str] = Counter()
    with pytest.MonkeyPatch.context() as patch:
        for target in {target for target, _ in moments.values()}:
            watch(patch, target, calls, lambda target, call: keep(moments, target, call, folder))
        yield


def watch(patch: pytest.MonkeyPatch, target: str, calls: Counter[str], note: Callable[[str, int], None]) -> None:
    """Notes each call of the function with that name before it is made."""
    real = pkgutil.resolve_name(target)

    def wrapped(*args: Any, **options: Any) -> Any:
        calls[target] += 1
        note(target, calls[target])
        return real(*args, **options)

    patch.setattr(target, wrapped)


def keep(moments: Mapping[str, tuple[str, int]], target: str, call: int, folder: Path) -> None:
    for name, moment in moments.items():
        if moment == (target, call):
            shutil.copytree(folder, folder.with_name(name))

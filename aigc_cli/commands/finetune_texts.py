"""What training on texts brings to the stages of `aigc finetune`."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from aigc_cli.commands.finetune_order import Order
from aigc_cli.core.engine import EngineOptions, ModelSource
from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Caution, Event, Planned
from aigc_cli.core.finetune import FinetuneRequest
from aigc_cli.core.sample import Split
from aigc_cli.core.training_request import TrainingRequest
from aigc_cli.data.check import check
from aigc_cli.data.dataset import Dataset
from aigc_cli.data.spool import spool
from aigc_cli.models.kinds import refuse_other_modality
from aigc_cli.picture_data.find import only_pictures
from aigc_cli.store import run_record
from aigc_cli.store.blueprint import Tables
from aigc_cli.store.earlier import carry_over
from aigc_cli.store.fingerprint import fingerprint
from aigc_cli.store.run_folder import STDIN, RunFolder, make_way
from aigc_cli.training.data_facts import DataFacts, DataFile, LengthBin, SplitFacts
from aigc_cli.training.preflight import Preflight

if TYPE_CHECKING:
    from aigc_cli.backends.train.text.loaded_run import LoadedRun
    from aigc_cli.backends.train.text.prepared_run import PreparedRun
    from aigc_cli.backends.train.text.trainer import TextTrainer

WITH_PICTURES = "it learns from pictures: aigc finetune PICTURES --image -m {name} -o mine/"


class Texts:
    """A `Kind`."""

    def refuse_model(self, request: TrainingRequest) -> None:
        refuse_other_modality(request.model, "text", WITH_PICTURES)

    def check(self, order: Order, run: RunFolder, rejects: Path | None) -> Generator[Event, None, Dataset]:
        """run: in its folder is kept what comes from stdin, for the second pass and for a resume."""
        request = of_texts(order.request)
        refuse_pictures(request.data.paths)
        paths = [str(stdin_file(run, order.resume)) if path == "-" else path for path in request.data.paths]
        dataset = yield from check(
            paths,
            request.data.validation,
            request.data.test,
            val_split=request.data.val_split,
            test_split=request.data.test_split,
            skip_bad=request.data.skip_bad,
            mix=request.data.mix,
            rejects=rejects,
        )
        yield from check_proof(request, dataset)
        return dataset

    def source(self, order: Order) -> Generator[Event, None, ModelSource]:
        from aigc_cli.commands.session import with_adapters
        from aigc_cli.models.adapters import check_adapter
        from aigc_cli.models.resolve import resolve
        from aigc_cli.render.confirm import terminal_confirm

        request = of_texts(order.request)
        if request.tuning.from_scratch:
            return ModelSource(name=request.tuning.from_scratch, kind="folder")
        whole_model = request.tuning.continue_from if not request.tuning.is_adapter else None
        adapters = [check_adapter(Path(request.tuning.continue_from))] if request.tuning.continue_from and not whole_model else []
        source = yield from resolve(whole_model or request.model, assume_yes=order.assume_yes, confirm=terminal_confirm())
        if source.kind == "openai":
            raise UsageError(f"{source.name} is at a remote endpoint, where nothing can be trained", "choose a model on this machine")
        return (yield from with_adapters(source, adapters))

    def open(self, source: ModelSource, order: Order) -> TextTrainer:
        from aigc_cli.backends import open_trainer

        return open_trainer(source, EngineOptions(device=order.device, dtype=order.dtype), of_texts(order.request))

    def first_part(self, trainer: TextTrainer, dataset: Dataset, folder: Path) -> Generator[Event, None, None]:
        yield from ()

    def files(self, dataset: Dataset) -> tuple[run_record.DataFile, ...]:
        return tuple(run_record.DataFile(file.path, file.sha256, split) for split, files in dataset.files.items() for file in files)

    def fingerprint(self, request: TrainingRequest, source: ModelSource) -> str:
        tuning = of_texts(request).tuning
        begun_with = [Path(name) for name in (tuning.from_scratch, tuning.continue_from) if name]
        return fingerprint(*begun_with, *([source.path] if source.path else []))

    def blueprint(self, request: TrainingRequest) -> Tables:
        return {}

    def facts(self, dataset: Dataset, prepared: PreparedRun) -> DataFacts:
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
            row_format=" and ".join(dataset.formats),
            max_length=prepared.max_length,
            cut=statistics.cut_rows,
            in_pieces=statistics.split_rows,
            untrained=statistics.left_out,
            duplicates=dataset.duplicates,
            leaked=dataset.leaked,
            left_out=dataset.left_out,
            lengths=tuple(LengthBin(up_to=up_to, rows=rows) for up_to, rows in statistics.histogram),
        )

    def planned(self, preflight: Preflight) -> Planned:
        assert isinstance(preflight.data, DataFacts)
        rows = preflight.data.splits["train"]
        return preflight.planned(rows=rows.rows, tokens=rows.tokens, trained_tokens=rows.trained_tokens)

    def inherit(self, request: TrainingRequest, run: RunFolder) -> Iterator[Event]:
        earlier = of_texts(request).tuning.continue_from
        if earlier and not carry_over(RunFolder(Path(earlier)).data, run.data):
            yield Caution(message=f"{earlier} kept no rows of its own back: what was learnt there cannot be measured again")

    def seconds(self, prepared: PreparedRun, loaded: LoadedRun) -> float:
        return loaded.seconds_per_token() * prepared.training_tokens

    def tidy(self, run: RunFolder) -> None:
        """What was kept back stays, for a run that goes on from this one measures on it again."""
        shutil.rmtree(run.data / "train", ignore_errors=True)


def of_texts(request: TrainingRequest) -> FinetuneRequest:
    assert isinstance(request, FinetuneRequest)
    return request


def refuse_pictures(paths: tuple[str, ...]) -> None:
    """Raises: UsageError where a language model would learn nothing, or nothing but captions."""
    if folder := only_pictures(paths):
        command = f"aigc finetune {shlex.quote(str(folder))} --image -m MODEL -o FOLDER"
        hint = f"learn from them: {command}; or name their captions' files, as texts"
        raise UsageError(f"{folder} holds pictures, and without --image only texts are learnt", hint)


def stdin_file(run: RunFolder, resume: bool) -> Path:
    """What came from stdin: now, or when the run was begun."""
    kept = sorted(run.path.glob(STDIN))
    if kept and resume:
        return kept[0]
    if sys.stdin.isatty():
        raise UsageError("there is nothing on stdin to train on", "pipe rows in, or name a file")
    make_way(run, [path.name for path in kept])
    return spool(sys.stdin.buffer, run.path / "stdin")


def check_proof(request: FinetuneRequest, dataset: Dataset) -> Iterator[Event]:
    """Raises: UsageError for a metric that there is nothing to measure on."""
    if request.proof.metrics and (dataset.formats == ("text",) or not dataset.counts["validation"] + dataset.counts["test"]):
        message = f"--metric {request.proof.metrics[0]} measures answers, and no row that is kept back asks for one"
        raise UsageError(message, "leave it out, or keep back rows with prompts: --val-split, --validation or --test")
    if request.pace.early_stopping_patience and not dataset.counts["validation"]:
        yield Caution(message="--early-stopping-patience has no effect: no row is kept back for validation")

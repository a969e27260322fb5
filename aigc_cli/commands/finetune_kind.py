"""The seam between the stages of `aigc finetune` and what is learnt from: texts or pictures."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from aigc_cli.commands.finetune_order import Order
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.events import Event, Planned
from aigc_cli.core.finetune_image import ImageFinetuneRequest
from aigc_cli.core.training_request import TrainingRequest
from aigc_cli.store.blueprint import Tables
from aigc_cli.store.checkpoints import Found
from aigc_cli.store.run_folder import RunFolder
from aigc_cli.store.run_record import DataFile
from aigc_cli.training.data_facts import DataFacts, PictureFacts
from aigc_cli.training.preflight import Preflight
from aigc_cli.training.report import ModelFacts

if TYPE_CHECKING:
    from aigc_cli.backends.device import Placement
    from aigc_cli.backends.train.run import Outcome


class LoadedRun(Protocol):
    """A run with its weights in place. request: with all that was left to choose."""

    @property
    def source(self) -> ModelSource: ...

    @property
    def request(self) -> TrainingRequest: ...

    @property
    def facts(self) -> ModelFacts: ...

    def train(
        self, checkpoints: Path, resume_from: Found | None, data: Path, should_stop: Callable[[], bool]
    ) -> Generator[Event, None, Outcome]:
        """Measures, trains, and measures again."""

    def write_result(self, folder: Path) -> None: ...


class FirstPart(Protocol):
    """A part of the model that is trained by itself before the rest. split: see TrainStep.  checkpoints: the folder of its own."""

    @property
    def split(self) -> str: ...

    @property
    def checkpoints(self) -> Path: ...

    def train(self, resume_from: Found | None, should_stop: Callable[[], bool]) -> Generator[Event, None, Outcome]:
        """To the end, unless the outcome is "interrupted"."""


class PreparedRun(Protocol):
    """A run whose data are ready. data: has `close`."""

    @property
    def data(self) -> Any: ...

    def preflight(self, facts: Any) -> Preflight: ...

    def refuse_misfit(self) -> None: ...

    def load(self) -> Generator[Event, None, LoadedRun]: ...


class Base(Protocol):
    """The model that training begins with, and where."""

    @property
    def source(self) -> ModelSource: ...

    @property
    def placement(self) -> Placement: ...


class Trainer(Protocol):
    @property
    def base(self) -> Base: ...

    def prepare(self, dataset: Any, folder: Path) -> Generator[Event, None, PreparedRun]: ...


class Kind(Protocol):
    """What differs between training on texts and on pictures. A `dataset` is what its `check` returns, and opaque to others."""

    def refuse_model(self, request: TrainingRequest) -> None:
        """Raises: ModelError for a model of the other kind, as far as its name and its files tell."""

    def check(self, order: Order, run: RunFolder, rejects: Path | None) -> Generator[Event, None, Any]:
        """The data set. Raises: UsageError for data that cannot be trained on."""

    def source(self, order: Order) -> Generator[Event, None, ModelSource]:
        """Where the model's weights lie, downloaded where need be."""

    def open(self, source: ModelSource, order: Order) -> Trainer:
        """No weights are read yet."""

    def first_part(self, trainer: Any, dataset: Any, folder: Path) -> Generator[Event, None, FirstPart | None]:
        """What must be trained before the trainer can `prepare`; None where nothing must, or it was by an earlier start."""

    def files(self, dataset: Any) -> tuple[DataFile, ...]:
        """What the data were read from."""

    def fingerprint(self, request: TrainingRequest, source: ModelSource) -> str:
        """Of all the files that training begins with but the data."""

    def blueprint(self, request: TrainingRequest) -> Tables:
        """What the file with the tables of a new pipeline says; empty where there is none, or its bytes count."""

    def facts(self, dataset: Any, prepared: Any) -> DataFacts | PictureFacts:
        """What the check and the preparation found, in one."""

    def planned(self, preflight: Preflight) -> Planned: ...

    def inherit(self, request: TrainingRequest, run: RunFolder) -> Iterator[Event]:
        """Brings along what an earlier run leaves to this one."""

    def seconds(self, prepared: Any, loaded: Any) -> float:
        """An estimate of the whole training, from a few steps."""

    def tidy(self, run: RunFolder) -> None:
        """Removes what a finished run needs no more."""


def kind_of(request: TrainingRequest) -> Kind:
    if isinstance(request, ImageFinetuneRequest):
        from aigc_cli.commands.finetune_pictures import Pictures

        return Pictures()
    from aigc_cli.commands.finetune_texts import Texts

    return Texts()

"""The report of a run, report.json: what was trained, on what, and what came of it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Literal

from aigc_cli.core.errors import AigcError
from aigc_cli.core.finetune import ADAPTER_METHODS
from aigc_cli.core.sample import Origin
from aigc_cli.training.data_facts import DataFacts, PictureFacts

VERSION = 1
AUTOENCODER = "autoencoder"  # the split of what is measured of a new one, which is trained before the rest of its pipeline
LOWER_IS_BETTER = ("loss", "perplexity")

FinishReason = Literal["complete", "max_steps", "early_stopping", "interrupted"]
Figures = dict[str, dict[str, float]]  # by split and by name


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """The model that training began with. mode: "image", or as in TextRequest, how its prompts were written."""

    name: str
    revision: str | None
    device: str
    dtype: str
    method: str
    mode: str
    trained_parameters: int
    total_parameters: int

    @property
    def is_adapter(self) -> bool:
        return self.method in ADAPTER_METHODS


@dataclass(frozen=True, kw_only=True)
class TrainingFacts:
    """How training went. tokens, pictures: seen in all, with repeats.  best_step: whose weights were kept, None for the last.

    estimated_memory, peak_memory: bytes, None where unknown.
    """

    seed: int
    steps: int
    epochs: float
    tokens: int = 0
    pictures: int = 0
    seconds: float
    tokens_per_second: float = 0.0
    pictures_per_second: float = 0.0
    finish_reason: FinishReason
    best_step: int | None = None
    estimated_memory: int | None = None
    peak_memory: int | None = None

    @property
    def result_step(self) -> int:
        """The step whose weights are the result."""
        return self.steps if self.best_step is None else self.best_step


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """loss: mean over the steps since the point before."""

    step: int
    loss: float
    learning_rate: float


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A figure on a split with the weights of a step; 0 is before training."""

    step: int
    split: str
    name: str
    value: float
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class AnswerPair:
    """What the model said to a prompt before and after."""

    prompt: str
    reference: str
    base: str
    tuned: str


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """What the model drew to the same prompts and seeds with the weights of a step. path: of a PNG, from the run's folder."""

    step: int
    path: str
    prompts: tuple[str, ...]
    seeds: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class HardRow:
    """A row that the tuned model still finds unlikely: often a mistake in the data. loss: nats per token, or a picture's.

    line, row: as in Origin.  text: of the row, or the picture's caption.
    """

    file: str
    line: int
    row: int = 0
    loss: float
    text: str

    @property
    def origin(self) -> Origin:
        return Origin(self.file, self.line, self.row)


@dataclass(frozen=True, kw_only=True)
class Searched:
    """Among how many training rows the hardest were looked for, drawn at random from how many."""

    rows: int
    drawn_from: int


@dataclass(frozen=True, kw_only=True)
class LabelScore:
    """How well one label was told from the others, as shares; support counts its rows."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """What report.json holds. version: of this format.  created: ISO 8601, UTC.

    versions: of aigc and what it runs on.  request: its to_json().
    before, after: figures by split and name, on the base and on the result.
    searched: where `hardest` come from, None in the report of an older aigc.
    labels: of the answers after training.  signatures: how a metric was computed, by its name.
    sheets: of the steps at which some were drawn, the first first.
    """

    version: int = VERSION
    created: str
    versions: dict[str, str]
    model: ModelFacts
    request: dict[str, Any]
    data: DataFacts | PictureFacts
    training: TrainingFacts
    before: Figures
    after: Figures
    answers: tuple[AnswerPair, ...] = ()
    hardest: tuple[HardRow, ...] = ()
    searched: Searched | None = None
    labels: tuple[LabelScore, ...] = ()
    signatures: dict[str, str] = dataclasses.field(default_factory=dict)
    curve: tuple[CurvePoint, ...] = ()
    evaluations: tuple[Measurement, ...] = ()
    cautions: tuple[str, ...] = ()
    sheets: tuple[Sheet, ...] = ()

    @property
    def noun(self) -> str:
        """What was learnt from."""
        return "pictures" if isinstance(self.data, PictureFacts) else "rows"

    @property
    def proofs(self) -> tuple[Sheet, ...]:
        """The sheet drawn before training and the one that the result drew; those of them there are."""
        first = [sheet for sheet in self.sheets if not sheet.step]
        last = [sheet for sheet in self.sheets if sheet.step and sheet.step == self.training.result_step]
        return (*first[:1], *last[-1:])

    def to_json(self) -> dict[str, Any]:
        """Nested objects of plain values; `from_json` makes an equal report of it."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> RunReport:
        """Raises: ValueError that names the field that is missing or wrong, or the version that is too new."""
        from pydantic import TypeAdapter, ValidationError  # costs 0.1 s, which only the reading of a report need pay

        version = value.get("version") if isinstance(value, dict) else None
        if isinstance(version, int) and version > VERSION:
            raise ValueError(f"it has version {version}, and this aigc knows {VERSION}")
        try:
            return TypeAdapter(cls).validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the whole"
            raise ValueError(f"{where}: {first['msg'].lower()}") from None


def parse_report(data: bytes, name: str) -> RunReport:
    """Reads what report.json holds. Raises: AigcError that names the file."""
    hint = "it may be damaged, or another aigc wrote it: take the aigc that made the run, or train again"
    try:
        return RunReport.from_json(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise AigcError(f"{name} is no report that can be read: {error}", hint) from error


@dataclass(frozen=True)
class Comparison:
    """A figure before and after; None where it was not measured."""

    split: str
    name: str
    unit: str
    before: float | None
    after: float | None

    @property
    def is_of_autoencoder(self) -> bool:
        return self.split == AUTOENCODER

    @property
    def is_of_earlier_run(self) -> bool:
        """Whether an earlier run kept these rows back, and this one went on from it."""
        return self.split.startswith("earlier")

    @property
    def gain(self) -> float | None:
        """How much better it became, in its own unit; below 0 it became worse."""
        if self.before is None or self.after is None:
            return None
        return self.before - self.after if self.name in LOWER_IS_BETTER else self.after - self.before


def compare(report: RunReport) -> list[Comparison]:
    """Every figure, in the order in which they were measured."""
    units = {(measured.split, measured.name): measured.unit for measured in report.evaluations}
    keys = dict.fromkeys((split, name) for figures in (report.before, report.after) for split in figures for name in figures[split])
    return [
        Comparison(split, name, units.get((split, name), ""), report.before.get(split, {}).get(name), report.after.get(split, {}).get(name))
        for split, name in keys
    ]

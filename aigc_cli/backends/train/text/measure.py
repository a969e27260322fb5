"""What is measured before training and after it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy

from aigc_cli.backends.torch_text import TorchTextEngine
from aigc_cli.backends.train.job import VALIDATION, Scores
from aigc_cli.backends.train.learner import Learner
from aigc_cli.backends.train.plan import Plan
from aigc_cli.backends.train.text.answers import answers
from aigc_cli.backends.train.text.asked import Asked
from aigc_cli.backends.train.text.evaluate import RowLosses, row_losses
from aigc_cli.backends.train.text.objective import NextTokens, PackedRow
from aigc_cli.backends.train.text.token_store import TokenStore
from aigc_cli.core.events import Answer, Evaluation, Event, Progress
from aigc_cli.core.finetune import FinetuneRequest
from aigc_cli.core.sample import Origin
from aigc_cli.training.metrics import classification_report, score
from aigc_cli.training.report import HardRow, Searched

HARDEST = 10  # rows that the report lists


@dataclass(frozen=True, kw_only=True)
class TextJob:
    """What is trained on and measured on.

    train: the rows of the plan.  measured: other rows by split, "validation" among them if there are any.
    questions: prompts that base and tuned model answer.  text: of rows, to show.
    checkpoints: the folder they go to.
    """

    request: FinetuneRequest
    plan: Plan
    train: TokenStore
    measured: Mapping[str, TokenStore]
    questions: Sequence[Asked]
    text: Callable[[Sequence[Origin]], list[str]]
    checkpoints: Path

    @property
    def steps(self) -> int:
        return self.plan.steps

    @property
    def validates(self) -> bool:
        return VALIDATION in self.measured

    def rows(self, number: int) -> list[PackedRow]:
        return [[self.train.get(int(at)) for at in row] for row in self.plan.step(number)]

    def origins(self, number: int) -> list[Origin]:
        return [self.train.origin(int(at)) for row in self.plan.step(number) for at in row]

    def epoch(self, steps_done: int) -> float:
        return self.plan.epoch(steps_done)


class TextMeasurer:
    """Measures the weights that a learner holds."""

    def __init__(self, job: TextJob, learner: Learner[NextTokens], engine: TorchTextEngine, should_stop: Callable[[], bool]) -> None:
        self.job, self.learner, self.engine, self.should_stop = job, learner, engine, should_stop
        self.micro_batch = job.request.pace.batch_size

    def losses(self, split: str, store: TokenStore) -> Generator[Progress, None, RowLosses]:
        rows = chosen_rows(len(store), self.job.request.proof.max_eval_samples)
        found = yield from row_losses(
            self.learner.objective.module,
            store,
            rows,
            phase=f"measuring {split}",
            padding=self.learner.objective.padding,
            device=self.learner.placement.device,
            micro_batch=self.micro_batch,
            autocast=self.learner.accelerator.autocast,
            should_stop=self.should_stop,
        )
        return found

    def evaluate(self, split: str, step: int) -> Generator[Event, None, float]:
        """Loss and perplexity of a split. Returns: the loss, in nats per token."""
        losses = yield from self.losses(split, self.job.measured[split])
        count = len(losses.indices)
        yield Evaluation(name="loss", value=losses.mean, unit="nats/token", split=split, step=step, samples=count)
        yield Evaluation(name="perplexity", value=losses.perplexity, split=split, step=step, samples=count)
        return losses.mean

    def all_figures(self, step: int, *, but: str | None = None) -> Generator[Event, None, Scores]:
        """Every split's loss, the answers to the questions, and the metrics asked for. but: a split that was measured already."""
        for split in self.job.measured:
            if split != but:
                yield from self.evaluate(split, step)
        scores = yield from self._answer(step)
        return scores

    def _answer(self, step: int) -> Generator[Event, None, Scores]:
        proof = self.job.request.proof
        asked = self.job.questions if proof.metrics else self.job.questions[: proof.samples]
        self.learner.objective.module.eval()
        try:
            found: list[Answer] = yield from answers(
                self.engine, [each.question for each in asked], step=step, max_new_tokens=proof.max_new_tokens, should_stop=self.should_stop
            )
        finally:
            self.learner.objective.module.train()
        yield from found[: proof.samples]
        texts, references = [answer.text for answer in found], [answer.reference for answer in found]
        signatures = {}
        for metric in proof.metrics if found else ():
            for figure in score(metric, texts, references):
                signatures[figure.name] = figure.signature
                split = self.job.questions[0].split
                yield Evaluation(name=figure.name, value=figure.value, unit=figure.unit, split=split, step=step, samples=len(found))
        labels = classification_report(texts, references) if "accuracy" in proof.metrics and found else []
        return Scores(labels=tuple(labels), signatures=signatures)

    def hardest(self) -> Generator[Progress, None, tuple[tuple[HardRow, ...], Searched]]:
        """The training rows that the model finds least likely even now, of those that were looked at.

        Of a text that is learnt in pieces the worst piece counts.
        """
        losses = yield from self.losses("training rows", self.job.train)
        worst: dict[Origin, float] = {}
        for row, loss in losses.hardest():
            worst.setdefault(self.job.train.origin(row), loss)
            if len(worst) == HARDEST:
                break
        texts = self.job.text(list(worst))
        rows = tuple(
            HardRow(file=origin.file, line=origin.line, row=origin.row, loss=loss, text=text)
            for (origin, loss), text in zip(worst.items(), texts, strict=True)
        )
        return rows, Searched(rows=len(losses.indices), drawn_from=len(self.job.train))


def chosen_rows(count: int, limit: int) -> list[int]:
    """All rows, or as many as `limit`, drawn at random: the same each time."""
    if count <= limit:
        return list(range(count))
    return sorted(numpy.random.default_rng(0).permutation(count)[:limit].tolist())

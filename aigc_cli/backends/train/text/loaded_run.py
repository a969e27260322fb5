"""A run with its weights in place."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from aigc_cli.backends.torch_load import LoadedModel
from aigc_cli.backends.torch_text import TorchTextEngine
from aigc_cli.backends.train.learner import Learner
from aigc_cli.backends.train.loaded import model_facts, seconds_each
from aigc_cli.backends.train.plan import Plan
from aigc_cli.backends.train.run import Outcome, Run
from aigc_cli.backends.train.text.measure import TextJob, TextMeasurer
from aigc_cli.backends.train.text.objective import NextTokens
from aigc_cli.backends.train.text.prepared_data import PreparedData
from aigc_cli.backends.train.text.result import write_result
from aigc_cli.backends.train.text.token_store import TokenStore
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.events import Event
from aigc_cli.core.finetune import FinetuneRequest
from aigc_cli.data.dataset import rows_of
from aigc_cli.store.checkpoints import Found
from aigc_cli.training.report import ModelFacts


@dataclass(frozen=True)
class LoadedRun:
    """stored_dtype: of the base's weights on disk, and of the result's if it is a whole model."""

    source: ModelSource
    request: FinetuneRequest
    tokenizer: Any
    data: PreparedData
    plan: Plan
    parts: LoadedModel
    learner: Learner[NextTokens]
    stored_dtype: str

    @property
    def facts(self) -> ModelFacts:
        return model_facts(self.source, self.learner, method=self.request.tuning.method, mode=self.data.mode)

    def train(
        self, checkpoints: Path, resume_from: Found | None, data: Path, should_stop: Callable[[], bool]
    ) -> Generator[Event, None, Outcome]:
        """Measures, trains, and measures again; see `Run.stream`. data: may also hold rows of earlier results, to measure on."""
        earlier = {path.name: TokenStore(path) for path in sorted(data.glob("earlier*"))}
        kept_back: dict[str, TokenStore] = {split: store for split, store in self.data.stores.items() if split != "train"}
        job = TextJob(
            request=self.request,
            plan=self.plan,
            train=self.data.stores["train"],
            measured={**kept_back, **earlier},
            questions=self.data.questions,
            text=rows_of,
            checkpoints=checkpoints,
        )
        torch.manual_seed(self.request.seed)  # dropout draws from there; a resume goes on from what its checkpoint holds
        engine = TorchTextEngine.over(self.parts, self.source, self.learner.placement)
        outcome = yield from Run(job, self.learner, TextMeasurer(job, self.learner, engine, should_stop), should_stop).stream(resume_from)
        return outcome

    def seconds_per_token(self) -> float:
        """Of training, timed on a few steps of usual length; the weights are of no use afterwards."""
        lengths = sorted(range(min(self.plan.steps, 50)), key=lambda step: sum(self.plan.step_lengths(step)))
        usual = lengths[len(lengths) // 2]
        rows = [[self.data.stores["train"].get(int(at)) for at in row] for row in self.plan.step(usual)]
        return seconds_each(self.learner, rows)

    def write_result(self, folder: Path) -> None:
        """What the run came to, ready to be used. Raises: OSError."""
        trainable, masters = self.learner.trainable, self.learner.masters
        write_result(folder, trainable, masters, self.tokenizer, self.source, mode=self.data.mode, dtype=self.stored_dtype)

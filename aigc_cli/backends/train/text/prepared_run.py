"""A run whose data are tokens already: what it will take can be told, and the weights can be loaded."""

from __future__ import annotations

import copy
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from aigc_cli.backends.device import Placement
from aigc_cli.backends.torch_load import LoadedModel, context_length, end_ids, load, model_sampling
from aigc_cli.backends.train.misfit import check_memory, memory_there
from aigc_cli.backends.train.plan import Plan
from aigc_cli.backends.train.text.collate import Padding, can_pack
from aigc_cli.backends.train.text.footprint import Case, count_weights, open_case
from aigc_cli.backends.train.text.learner import resolved, text_learner
from aigc_cli.backends.train.text.loaded_run import LoadedRun
from aigc_cli.backends.train.text.methods import prepare
from aigc_cli.backends.train.text.prepared_data import PreparedData
from aigc_cli.backends.train.text.quantized import four_bits, keep_layout
from aigc_cli.backends.train.text.scratch import Blueprint, build_model
from aigc_cli.backends.train.text.token_store import Row
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Caution, Event, Loaded
from aigc_cli.core.finetune import FinetuneRequest
from aigc_cli.training.data_facts import DataFacts
from aigc_cli.training.preflight import Preflight


@dataclass(frozen=True)
class Base:
    """The model that training begins with, and where. blueprint: in place of weights, from scratch."""

    source: ModelSource
    placement: Placement
    config: Any
    blueprint: Blueprint | None

    @property
    def stored_dtype(self) -> str:
        return str(getattr(self.config, "dtype", None) or "float32").removeprefix("torch.")


@dataclass(frozen=True)
class PreparedRun:
    """data, plan: of the rows that were checked, cut to max_length tokens."""

    base: Base
    request: FinetuneRequest
    tokenizer: Any
    data: PreparedData
    plan: Plan
    max_length: int

    @property
    def training_tokens(self) -> int:
        """Tokens that the whole run will see, repeats counted."""
        return int(self.plan.row_lengths.sum() * self.plan.epoch(self.plan.steps))

    def preflight(self, facts: DataFacts) -> Preflight:
        """What the run would take; its time is not known yet."""
        case, there = self.case, memory_there(self.base.placement.device)
        weights = case.weights if case else count_weights(self._config, self.request.tuning)
        rows = self.data.stores["train"]
        return Preflight(
            model=self.base.source.name,
            method=self.request.tuning.method,
            mode=self.data.mode,
            device=self.base.placement.device,
            dtype=self.base.placement.dtype,
            trained_parameters=weights.trained,
            total_parameters=weights.total,
            data=facts,
            sample=tuple(self._marked(rows.get(0))),
            sample_origin=str(rows.origin(0)),
            memory=case.parts if case else (),
            free=there,
            steps=self.plan.steps,
            seconds=None,
            advice=case.advice(there) if case and case.total > there else (),
        )

    def refuse_misfit(self) -> None:
        """Raises: OutOfMemoryError, with numbers and advice, for a run that cannot fit."""
        if self.case:
            check_memory(self.case, memory_there(self.base.placement.device))

    def load(self) -> Generator[Event, None, LoadedRun]:
        """Puts the weights in place, ready to be trained. Raises: UsageError, ModelError, OutOfMemoryError."""
        started = time.perf_counter()
        parts = self._load_parts()
        if self.request.data.packing and not can_pack(parts.model, self._padding.token):
            message = f"{self.base.source.name} cannot keep packed rows apart: each would see the one before"
            raise UsageError(message, "leave out --packing")
        tuning, source, placement = self.request.tuning, self.base.source, self.base.placement
        earlier = Path(tuning.continue_from) if tuning.continue_from and tuning.is_adapter else None
        trainable = prepare(parts.model, tuning, self.request.seed, earlier)
        if trainable.passed_over:
            names = ", ".join(trainable.passed_over)
            yield Caution(
                message=f"no adapters for {names}: peft takes these names for the model's experts, whose adapters cannot be merged into it",
                hint="--method full and freeze train experts too",
            )
        request = resolved(self.request, parts.model)
        learner = text_learner(trainable, request, placement, self._padding)
        yield Loaded(
            model=source.name,
            revision=source.revision,
            device=placement.device,
            dtype=placement.dtype,
            quantize="int4" if tuning.method == "qlora" else "none",
            seconds=time.perf_counter() - started,
            reason=placement.reason,
            context_length=parts.context_length,
        )
        return LoadedRun(source, request, self.tokenizer, self.data, self.plan, parts, learner, self.base.stored_dtype)

    @cached_property
    def case(self) -> Case | None:
        """None for a family whose memory follows rules that are not known here."""
        return open_case(self._config, self.request, self.base.placement, longest=self._longest)

    @property
    def _config(self) -> Any:
        """Of the model as it will be: from scratch, the tokenizer decides how wide its head is."""
        if not self.base.blueprint:
            return self.base.config
        config = copy.deepcopy(self.base.config)
        config.vocab_size = len(self.tokenizer)
        return config

    def _marked(self, row: Row) -> Iterator[tuple[str, bool]]:
        """A row's text in pieces, each with whether the loss is taken over it."""
        ids, said = row.ids.tolist(), ""
        for trained, positions in groupby(range(len(ids)), key=lambda at: bool(row.trained[at])):
            text = self.tokenizer.decode(ids[: max(positions) + 1])  # from the beginning: alone, a piece may lose its first space
            yield text[len(said) :], trained
            said = text

    @property
    def _padding(self) -> Padding:
        pad_id = self.tokenizer.pad_token_id
        return Padding(int(pad_id if pad_id is not None else self.tokenizer.eos_token_id or 0), self._longest)

    @cached_property
    def _longest(self) -> int:
        return int(self.plan.row_lengths.max())

    def _load_parts(self) -> LoadedModel:
        """Weights that are all frozen come in the dtype to compute in; others keep every digit they are stored with."""
        placement = self.base.placement
        if not self.request.tuning.is_adapter and self.base.stored_dtype != placement.dtype:
            placement = replace(placement, dtype="float32")
        if self.request.tuning.method == "qlora":
            parts = load(self.base.source, placement, quantization=four_bits(placement.dtype))
            keep_layout(parts.model)
            return parts
        if not self.base.blueprint:
            return load(self.base.source, placement)
        model = build_model(self.base.blueprint, self.tokenizer, self.request.seed, torch.float32).to(placement.device)
        ends = end_ids(model.generation_config, self.tokenizer)
        sampling, _ = model_sampling(model.generation_config)
        return LoadedModel(model, self.tokenizer, ends, context_length(model.config), sampling, ())

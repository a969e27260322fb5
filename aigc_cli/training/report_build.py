"""From a run's log to its report."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

from aigc_cli.core.training_request import TrainingRequest
from aigc_cli.training.data_facts import DataFacts, PictureFacts
from aigc_cli.training.report import (
    AnswerPair,
    CurvePoint,
    Figures,
    FinishReason,
    HardRow,
    LabelScore,
    Measurement,
    ModelFacts,
    RunReport,
    Searched,
    Sheet,
    TrainingFacts,
)

LONGEST_CURVE = 1000  # points; the log has every step


def build_report(
    events: Iterable[Mapping[str, Any]],
    *,
    request: TrainingRequest,
    model: ModelFacts,
    data: DataFacts | PictureFacts,
    versions: Mapping[str, str],
    seconds: float,
    finish_reason: FinishReason,
    best_step: int | None = None,
    estimated_memory: int | None = None,
    hardest: Sequence[HardRow] = (),
    searched: Searched | None = None,
    labels: Sequence[LabelScore] = (),
    signatures: Mapping[str, str] | None = None,
) -> RunReport:
    """Puts together what the run's log tells (events as JSON objects, oldest first) and what it does not.

    Figures that were not finite are not in the log, for JSON has no word for them.
    """
    log = list(events)
    steps = [event for event in log if event["event"] == "train_step" and "split" not in event]
    last: Mapping[str, Any] = steps[-1] if steps else {"step": 0, "epoch": 0.0}
    training = TrainingFacts(
        seed=request.seed,
        steps=last["step"],
        epochs=last["epoch"],
        tokens=last.get("tokens") or 0,
        pictures=last.get("pictures") or 0,
        seconds=seconds,
        tokens_per_second=last.get("tokens_per_second") or 0.0,
        pictures_per_second=last.get("pictures_per_second") or 0.0,
        finish_reason=finish_reason,
        best_step=best_step,
        estimated_memory=estimated_memory,
        peak_memory=max((event["peak_memory"] for event in log if event["event"] == "train_step" and "peak_memory" in event), default=None),
    )
    evaluations = tuple(measurements(log))
    return RunReport(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=dict(versions),
        model=model,
        request=request.to_json(),
        data=data,
        training=training,
        before=figures_at(0, evaluations),
        after=figures_after(training.result_step, evaluations, kept_steps(log)),
        answers=tuple(answer_pairs(log)),
        hardest=tuple(hardest),
        searched=searched,
        labels=tuple(labels),
        signatures=dict(signatures or {}),
        curve=tuple(thinned(steps)),
        evaluations=evaluations,
        cautions=tuple(dict.fromkeys(event["message"] for event in log if event["event"] == "warning")),
        sheets=tuple(sheets(log)),
    )


def sheets(log: Iterable[Mapping[str, Any]]) -> list[Sheet]:
    """The last of each step, the first step first: a run that was stopped may have drawn some of them again."""
    found = {event["step"]: event for event in log if event["event"] == "samples"}
    return [
        Sheet(step=step, path=f"samples/{PurePath(event['path']).name}", prompts=tuple(event["prompts"]), seeds=tuple(event["seeds"]))
        for step, event in sorted(found.items())
    ]


def measurements(log: Iterable[Mapping[str, Any]]) -> Iterator[Measurement]:
    names = [field.name for field in dataclasses.fields(Measurement)]
    for event in log:
        if event["event"] == "eval" and "value" in event:
            yield Measurement(**{name: event[name] for name in names})


def figures_at(step: int, evaluations: Iterable[Measurement]) -> Figures:
    """The last of each name and split that was measured with the weights of that step."""
    figures: Figures = {}
    for measured in evaluations:
        if measured.step == step:
            figures.setdefault(measured.split, {})[measured.name] = measured.value
    return figures


def kept_steps(log: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Of the parts that were trained by themselves, by their splits: whose weights were kept."""
    return {event["split"]: event["step"] for event in log if event["event"] == "checkpoint" and "split" in event and event["best"]}


def figures_after(step: int, evaluations: Sequence[Measurement], steps_of_parts: Mapping[str, int]) -> Figures:
    """Of the result, each part at its own step. step: of all else."""
    parts = {split: figures_at(at, evaluations)[split] for split, at in steps_of_parts.items()}
    return parts | {split: figures for split, figures in figures_at(step, evaluations).items() if split not in parts}


def answer_pairs(log: Iterable[Mapping[str, Any]]) -> Iterator[AnswerPair]:
    """Answers of the base and the last ones of the tuned model, where both are there."""
    base: dict[int, str] = {}
    tuned: dict[int, Mapping[str, Any]] = {}
    for event in log:
        if event["event"] == "answer" and event["step"] == 0:
            base[event["index"]] = event["text"]
        elif event["event"] == "answer":
            tuned[event["index"]] = event
    for index in sorted(base.keys() & tuned.keys()):
        event = tuned[index]
        yield AnswerPair(prompt=event["prompt"], reference=event["reference"], base=base[index], tuned=event["text"])


def thinned(steps: Sequence[Mapping[str, Any]]) -> Iterator[CurvePoint]:
    """At most LONGEST_CURVE points, each the mean of the steps that it stands for."""
    size = math.ceil(len(steps) / LONGEST_CURVE) or 1
    for start in range(0, len(steps), size):
        bucket = steps[start : start + size]
        losses = [step["loss"] for step in bucket if "loss" in step]
        if losses:
            yield CurvePoint(step=bucket[-1]["step"], loss=sum(losses) / len(losses), learning_rate=bucket[-1]["learning_rate"])

"""A run of training that nobody ran: its events and its report, for the tests of what shows them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from aigc_cli.core.events import Answer, Caution, Checkpoint, Done, Evaluation, Event, Loaded, TrainStep
from aigc_cli.core.finetune import DataChoice, FinetuneRequest, Optimization
from aigc_cli.training.data_facts import DataFacts, DataFile, LengthBin, SplitFacts
from aigc_cli.training.report import HardRow, LabelScore, ModelFacts, RunReport
from aigc_cli.training.report_build import build_report

STEPS = 40
PROMPT, REFERENCE = "北京是什么？\n用一句话回答。", "北京是中国的首都。"
HOSTILE = "<script>alert(1)</script> \x1b]0;evil\x07`|** 北京"
DATA = DataFacts(
    files=(DataFile(path="/home/someone/数据.jsonl", sha256="ab" * 32, size=123_456),),
    splits={
        "train": SplitFacts(rows=950, tokens=120_000, trained_tokens=60_000),
        "validation": SplitFacts(rows=50, tokens=6_000, trained_tokens=3_000),
    },
    row_format="chat",
    max_length=512,
    cut=12,
    duplicates=3,
    leaked=1,
    lengths=tuple(LengthBin(up_to=up_to, rows=rows) for up_to, rows in ((32, 30), (64, 400), (128, 0), (256, 520))),
)
MODEL = ModelFacts(
    name="builtin:text",
    revision=None,
    device="cpu",
    dtype="bfloat16",
    method="lora",
    mode="chat",
    trained_parameters=130_000,
    total_parameters=5_500_000,
)
REQUEST = FinetuneRequest(
    model="builtin:text", data=DataChoice(paths=("/home/someone/数据.jsonl",)), optimization=Optimization(learning_rate=2e-4), seed=7
)


def train_step(step: int, *, steps: int = STEPS, loss: float | None = None, t: float | None = None) -> TrainStep:
    return TrainStep(
        t=step * 0.5 if t is None else t,
        step=step,
        steps=steps,
        epoch=3 * step / steps,
        loss=4.0 - 3.0 * step / steps if loss is None else loss,
        learning_rate=2e-4,
        grad_norm=0.8,
        samples=8,
        tokens=900 * step,
        tokens_per_second=812.3,
        peak_memory=1_288_490_188,
    )


def training_events() -> Iterator[Event]:
    """Loss 4 to 1, evaluations before, in the middle and at the end, two answers, one caution."""
    yield Loaded(model="builtin:text", device="cpu", dtype="bfloat16", seconds=1.2, reason="it is fast")
    yield from evaluations(0, 3.914)
    yield Answer(index=0, step=0, prompt=PROMPT, text=HOSTILE, reference=REFERENCE)
    yield Answer(index=1, step=0, prompt="a haiku", text="", reference="water")
    yield Caution(message="12 rows are cut at 512 tokens", hint="--max-length 1024")
    for step in range(1, STEPS + 1):
        yield train_step(step)
        if step % 20 == 0:
            yield from evaluations(step, 4.2 - 3.0 * step / STEPS)
            yield Checkpoint(step=step, path=f"mine/checkpoints/step-{step:08}", best=True)
    yield Evaluation(name="exact-match", value=41.5, unit="%", step=STEPS)
    yield Answer(index=0, step=STEPS, prompt=PROMPT, text="北京是中国的首都，也是文化中心。", reference=REFERENCE)
    yield Answer(index=1, step=STEPS, prompt="a haiku", text="water in the dark\n  a small sound", reference="water")
    yield Done(finish_reason="complete", seconds=20.0)


def evaluations(step: int, loss: float) -> Iterator[Evaluation]:
    yield Evaluation(name="loss", value=loss, unit="nats", step=step, samples=50)
    yield Evaluation(name="perplexity", value=round(2.718281828**loss, 3), step=step, samples=50)
    if step == 0:
        yield Evaluation(name="exact-match", value=0.0, unit="%", step=step)


def training_report(**changes: Any) -> RunReport:
    """Its report, with some of it replaced."""
    report = build_report(
        [event.to_json() for event in training_events()],
        request=REQUEST,
        model=MODEL,
        data=DATA,
        versions={"aigc": "0.3", "torch": "2.13.0"},
        seconds=63.2,
        finish_reason="complete",
        best_step=STEPS,
        estimated_memory=1_200_000_000,
        hardest=(HardRow(file="/home/someone/数据.jsonl", line=17, loss=8.311, text=HOSTILE),),
        labels=(LabelScore(label="正面|a_b", precision=0.9, recall=0.8, f1=0.847, support=20),),
        signatures={"bleu": "nrefs:1|tok:zh"},
    )
    return replace(report, **changes)

"""The log of a run that was interrupted reads like that of one that was not."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aigc_cli.core.errors import AigcError
from aigc_cli.core.events import Answer, Caution, Checkpoint, Done, Evaluation, Event, Loaded, TrainStep
from aigc_cli.store.event_log import logged, read_events, rewind

LOADED = Loaded(model="模型", device="cpu", dtype="float32", seconds=1.0)
DONE = Done(finish_reason="complete")
STEP = TrainStep(step=1, steps=9, epoch=1.0, loss=1.0, learning_rate=1e-4, grad_norm=1.0, samples=8, tokens=8, tokens_per_second=1.0)


def train(step: int) -> TrainStep:
    return dataclasses.replace(STEP, t=float(step), step=step, loss=1 / step)


def saved(step: int) -> Checkpoint:
    return Checkpoint(t=step + 0.5, step=step, path=f"step-{step}", best=True)


def run_from(start: int, stop: int) -> list[Event]:
    """Steps start+1 to stop, an evaluation and a checkpoint after each third, a remark after each fourth."""
    events: list[Event] = [Answer(index=0, step=0, prompt="问？\u2028", text="答", reference="答。"), Evaluation(name="loss", value=3.0)]
    for step in range(1, stop + 1):
        events.append(train(step))
        events += [Caution(message=f"mind step {step}")] if step % 4 == 0 else []
        events += [Evaluation(name="loss", value=1 / step, step=step), saved(step)] if step % 3 == 0 else []
    first = next((at for at, event in enumerate(events) if isinstance(event, TrainStep) and event.step > start), len(events))
    return [LOADED, *events[first if start else 0 :]]


def without_loaded(path: Path) -> list[dict[str, Any]]:
    return [event for event in read_events(path) if event["event"] != "loaded"]


def write(path: Path, events: list[Event]) -> None:
    assert list(logged(iter(events), path)) == events


def test_events_are_on_disk_before_they_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for at, event in enumerate(logged(run_from(0, 9), path), 1):
        assert read_events(path)[-1] == json.loads(json.dumps(event.to_json()))
        assert len(read_events(path)) == at
    assert path.read_bytes().count(b"\n") == at


def test_leaving_early_closes_the_run(tmp_path: Path) -> None:
    closed = []

    def engine() -> Iterator[Event]:
        try:
            yield train(1)
            yield train(2)
        finally:
            closed.append(True)

    events = logged(engine(), tmp_path / "log.jsonl")
    next(events)
    events.close()
    assert [event["step"] for event in read_events(tmp_path / "log.jsonl")] == [1]


@pytest.mark.parametrize("stopped_at", range(3, 10))
@pytest.mark.parametrize("ending", [b"", b'{"event": "train_st', b"\0\0\0\0"])
def test_after_a_resume_it_reads_as_if_undisturbed(tmp_path: Path, stopped_at: int, ending: bytes) -> None:
    path, undisturbed = tmp_path / "log.jsonl", tmp_path / "undisturbed.jsonl"
    write(undisturbed, [*run_from(0, 9), DONE])
    write(path, [*run_from(0, stopped_at), DONE] if stopped_at % 2 else run_from(0, stopped_at))
    path.write_bytes(path.read_bytes() + ending)
    at = stopped_at // 3 * 3
    rewind(path, saved(at))
    write(path, [*run_from(at, 9), DONE])
    assert without_loaded(path) == without_loaded(undisturbed)


def test_a_kill_between_a_checkpoint_and_its_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write(path, run_from(0, 6)[:-1])
    rewind(path, saved(6))
    last = read_events(path)[-1]
    assert (last["event"], last["step"], last["path"]) == ("checkpoint", 6, "step-6")


def test_a_step_that_was_saved_twice_is_there_once(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write(path, run_from(0, 6))
    write(path, [LOADED, saved(6), DONE])
    rewind(path, saved(6))
    assert [event["event"] for event in read_events(path)].count("checkpoint") == 2  # of steps 3 and 6


def test_without_a_checkpoint_all_of_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    rewind(path, None)
    write(path, run_from(0, 2))
    rewind(path, None)
    assert read_events(path) == []


def test_a_torn_last_line_is_left_out_and_a_damaged_one_is_said(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write(path, run_from(0, 2))
    whole, events = path.read_bytes(), read_events(path)
    path.write_bytes(whole[:-1])
    assert read_events(path) == events[:-1]
    lines = whole.splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"\xff\n", *lines[2:]]))
    with pytest.raises(AigcError, match=r"log.jsonl:3: not an event"):
        read_events(path)


def test_half_a_character_does_not_stop_the_run(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    write(path, [Caution(message="file \udcff.jsonl")])
    assert read_events(path)[0]["message"] == "file \udcff.jsonl"


def test_what_was_measured_between_two_savings_of_a_step_stays(tmp_path: Path) -> None:
    """Stopped before it was measured, a step is measured and saved again after the resume."""
    path = tmp_path / "log.jsonl"
    write(path, [train(1), train(2), saved(2), LOADED, Evaluation(name="loss", value=0.5, step=2), saved(2), train(3)])
    rewind(path, saved(2))
    assert [event["event"] for event in read_events(path)] == ["train_step", "train_step", "loaded", "eval", "checkpoint"]


def of_autoencoder(stop: int) -> list[Event]:
    """Steps of a part that is trained before the rest, with more of them than the run itself has."""
    step = dataclasses.replace(STEP, split="autoencoder", steps=40)
    steps = [dataclasses.replace(step, step=number) for number in range(1, stop + 1)]
    measured = Evaluation(name="loss", value=0.5, split="autoencoder", step=stop)
    return [*steps, measured, Checkpoint(step=stop, path=f"autoencoder/step-{stop}", best=True, split="autoencoder")]


@pytest.mark.parametrize("stopped_at", [0, 3, 7])
def test_what_a_part_left_that_was_trained_before_stays(tmp_path: Path, stopped_at: int) -> None:
    path, undisturbed = tmp_path / "log.jsonl", tmp_path / "undisturbed.jsonl"
    write(undisturbed, [*of_autoencoder(40), *run_from(0, 9)])
    write(path, [*of_autoencoder(40), *run_from(0, stopped_at)])
    at = stopped_at // 3 * 3
    rewind(path, saved(at) if at else None)
    write(path, run_from(at, 9))
    assert without_loaded(path) == without_loaded(undisturbed)


def test_a_part_goes_on_from_its_own_checkpoint(tmp_path: Path) -> None:
    path, undisturbed = tmp_path / "log.jsonl", tmp_path / "undisturbed.jsonl"
    write(undisturbed, of_autoencoder(4))
    write(path, [*of_autoencoder(4), *run_from(0, 2)])
    last = of_autoencoder(4)[-1]
    assert isinstance(last, Checkpoint)
    rewind(path, last, "autoencoder")
    assert read_events(path) == read_events(undisturbed)
    rewind(path, None, "autoencoder")
    assert read_events(path) == []

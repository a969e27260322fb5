"""Whole runs: prepared, trained, stopped and gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import OutOfMemoryError
from aigc_cli.core.events import Caution, Evaluation, Event, SampleSheet, TrainStep
from aigc_cli.picture_data.dataset import PictureDataset
from tests.backends.train.image.picture_runs import a_request, loaded, pictures, prepared, save_model, save_pictures, trained


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> ModelSource:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def dataset(tmp_path: Path) -> PictureDataset:
    return pictures(save_pictures(tmp_path / "pictures"))


def losses(events: list[Event]) -> list[float]:
    return [event.loss for event in events if isinstance(event, TrainStep)]


def measured(events: list[Event]) -> dict[int, float]:
    return {event.step: event.value for event in events if isinstance(event, Evaluation)}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tuning": {"train_text_encoder": True, "lora_dropout": 0.1}},
        {"tuning": {"method": "full"}, "diffusion": {"average": 0.9}, "optimization": {"learning_rate": 1e-3}},
    ],
)
def test_stopped_and_resumed_it_ends_as_if_undisturbed(
    tmp_path: Path, source: ModelSource, dataset: PictureDataset, options: dict[str, dict[str, Any]]
) -> None:
    request = a_request(pace={"max_steps": 12, "eval_steps": 4}, **options)
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    undisturbed, _ = trained(loaded(source, dataset, request, whole), whole)
    events: list[Event] = []
    for steps, ends in ((3, "interrupted"), (5, "interrupted"), (99, "max_steps")):
        more, outcome = trained(loaded(source, dataset, request, halves), halves, steps=steps)
        events += more
        assert outcome.finish_reason == ends
    assert len(losses(events)) == 12
    assert losses(events) == losses(undisturbed)
    assert measured(events) == measured(undisturbed)
    for name in ("checkpoints/step-00000012/trained.safetensors", "samples/step-00000012.png"):
        assert (halves / name).read_bytes() == (whole / name).read_bytes()


def test_training_brings_the_loss_down_and_draws_before_and_after(tmp_path: Path, source: ModelSource, dataset: PictureDataset) -> None:
    prompts = ("a red disc", "一个圆")
    pace = {"max_steps": 30, "eval_steps": 15, "batch_size": 4}
    request = a_request(pace=pace, tuning={"method": "full"}, proof={"sample_prompts": prompts})
    events, outcome = trained(loaded(source, dataset, request, tmp_path), tmp_path)
    figures = measured(events)
    assert list(figures) == [0, 15, 30]
    assert figures[30] < 0.9 * figures[0]
    sheets = [event for event in events if isinstance(event, SampleSheet)]
    assert [(sheet.step, sheet.prompts, sheet.seeds) for sheet in sheets] == [(step, prompts, (0, 1)) for step in (0, 15, 30)]
    assert len({Path(sheet.path).read_bytes() for sheet in sheets}) == 3
    assert Image.open(sheets[0].path).width > 2 * 128
    assert outcome.hardest[0].loss >= outcome.hardest[-1].loss
    assert outcome.hardest[0].file.endswith(".png")


def test_without_pictures_kept_back_it_draws_at_the_beginning_and_the_end(tmp_path: Path, source: ModelSource) -> None:
    dataset = pictures(save_pictures(tmp_path / "pictures", 4), val_split=0.0)
    events, _ = trained(loaded(source, dataset, a_request(pace={"max_steps": 2}), tmp_path), tmp_path)
    assert measured(events) == {}
    assert [event.step for event in events if isinstance(event, SampleSheet)] == [0, 2]


def test_the_loss_before_training_is_the_same_whatever_the_run(tmp_path: Path, source: ModelSource, dataset: PictureDataset) -> None:
    requests = (
        a_request(pace={"max_steps": 1, "batch_size": 1}, proof={"samples": 0}),
        a_request(pace={"max_steps": 1}, diffusion={"min_snr_gamma": 5.0}, data={"caption_dropout": 0.5}, proof={"samples": 0}),
    )
    figures = []
    for number, request in enumerate(requests):
        folder = tmp_path / str(number)
        events, _ = trained(loaded(source, dataset, request, folder), folder)
        figures.append(measured(events)[0])
    assert figures[0] == pytest.approx(figures[1], rel=1e-5)


def test_what_is_done_to_pictures_and_captions_is_said_in_numbers(tmp_path: Path, source: ModelSource) -> None:
    folder = save_pictures(tmp_path / "pictures", 8, mode="RGBA")
    (folder / "00.txt").write_text("一只猫" * 30, "utf-8")
    events, run = prepared(source, pictures(folder), a_request(data={"resolution": 125}), tmp_path)
    said = [event.message for event in events if isinstance(event, Caution)]
    assert "--resolution 125 is taken as 128: this model takes multiples of 8 pixels" in said
    assert "8 of 8 pictures are transparent, and laid on white: this model's autoencoder knows no alpha" in said
    assert any(line.startswith("8 of 8 pictures are smaller than what is learnt: enlarged up to 2") for line in said)
    assert any(line.startswith("1 of 5 captions are longer than the text encoders see") for line in said)
    assert run.data.statistics.cut_captions == 1
    assert run.data.statistics.changes["laid on white"] == 8
    assert sum(rows for _, rows in run.data.statistics.buckets) == len(run.data.training)


def test_text_encoders_are_freed_once_all_is_encoded(tmp_path: Path, source: ModelSource, dataset: PictureDataset) -> None:
    run = loaded(source, dataset, a_request(), tmp_path)
    assert all(weight.is_meta for encoder in run.family.text_encoders for weight in encoder.parameters())
    trains = loaded(source, dataset, a_request(tuning={"train_text_encoder": True}), tmp_path)
    assert not any(weight.is_meta for encoder in trains.family.text_encoders for weight in encoder.parameters())


def test_a_run_that_does_not_fit_is_refused_with_advice(
    tmp_path: Path, source: ModelSource, dataset: PictureDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, run = prepared(source, dataset, a_request(data={"resolution": 256}, pace={"batch_size": 8}), tmp_path)
    run.refuse_misfit()
    monkeypatch.setattr("aigc_cli.backends.train.image.prepared_run.memory_there", lambda device: run.case.total - 1)
    with pytest.raises(OutOfMemoryError, match="training would take about") as raised:
        run.refuse_misfit()
    assert "--batch-size 4 --gradient-accumulation-steps 2 takes" in raised.value.hint


def test_the_estimate_counts_what_grows_with_the_pictures(tmp_path: Path, source: ModelSource, dataset: PictureDataset) -> None:
    _, run = prepared(source, dataset, a_request(data={"resolution": 256}), tmp_path)
    plain, checkpointed = (run.case.activations(is_on) for is_on in (False, True))
    assert checkpointed.of(256 * 256) < plain.of(256 * 256)
    peak = run.case.activations(False)
    assert peak.of(512 * 512) > 3 * peak.of(256 * 256)
    assert all(weight.grad is None for weight in run.trainable.parameters.values())


def test_timing_needs_no_folder(tmp_path: Path, source: ModelSource, dataset: PictureDataset) -> None:
    run = loaded(source, dataset, a_request(), tmp_path)
    assert 0 < run.seconds_per_picture() < 60
    assert torch.isfinite(next(iter(run.learner.masters.weights.values()))).all()

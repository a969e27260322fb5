"""Training on pictures as it is shown: sheets of samples where the terminal can show them, and their paths everywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from aigc_cli.core.events import Checkpoint, Evaluation, Event, SampleSheet
from aigc_cli.render import training
from aigc_cli.render.model_card import model_card
from aigc_cli.render.report_html import report_html
from aigc_cli.render.report_plot import measured_splits
from aigc_cli.render.training import render_training
from aigc_cli.render.training_figures import format_speed
from aigc_cli.render.training_summary import write_summary
from aigc_cli.training.data_facts import Bucket, PictureFacts, PictureSplit
from aigc_cli.training.report import RunReport, Sheet
from aigc_cli.training.report_build import build_report
from tests.training_run import HOSTILE, MODEL, REQUEST, STEPS, train_step, training_report


@pytest.fixture(autouse=True)
def short_names_without_pauses(monkeypatch, tmp_path):
    monkeypatch.setattr(training, "REDRAW_INTERVAL", 0.0)
    monkeypatch.chdir(tmp_path)  # so that no line is broken


def sheet(step: int = 2) -> SampleSheet:
    path = Path(f"样{step}.png")
    Image.new("RGB", (40, 20), (200, 30, 30)).save(path)
    return SampleSheet(step=step, path=str(path), prompts=("一只猫",), seeds=(0,))


def test_a_terminal_with_colours_shows_the_sheet_above_its_path(screen, monkeypatch):
    monkeypatch.setenv("COLORTERM", "truecolor")
    opened = screen(terminal="stderr")
    render_training([train_step(1), train_step(2), sheet(), train_step(3)], opened.output)
    shown = opened.stderr.text
    assert shown.index("▀") < shown.index("step 2: samples in 样")
    assert "38;2;200;30;30" in shown


@pytest.mark.parametrize("options", [{}, {"terminal": "stderr"}, {"terminal": "stderr", "quiet": True}])
def test_elsewhere_only_its_path_is_told(screen, monkeypatch, options):
    monkeypatch.setenv("NO_COLOR", "1")
    opened = screen(**options)
    render_training([sheet(0)], opened.output)
    assert "▀" not in opened.stderr.text
    assert ("before: samples in 样" in opened.stderr.text) is not options.get("quiet", False)


def test_a_sheet_that_is_gone_does_not_end_the_run(screen, monkeypatch):
    monkeypatch.setenv("COLORTERM", "truecolor")
    opened = screen(terminal="stderr")
    lost = sheet()
    Path(lost.path).unlink()
    render_training([lost], opened.output)
    assert "there is no file 样2.png" in opened.stderr.text


def test_a_new_autoencoder_is_measured_on_the_way(screen):
    opened = screen()
    render_training([*autoencoder_events(), train_step(1), train_step(2)], opened.output)
    lines = opened.stderr.text.splitlines()
    assert lines[0] == "autoencoder, before: loss 0.900, psnr 7.000 dB over black, psnr 20.00 dB of transparency"
    assert lines[1].startswith("autoencoder, step 400/4000  epoch")
    assert lines[2] == "autoencoder, step 400 of 4,000: loss 0.260, psnr 11.92 dB over black, psnr 20.00 dB of transparency"
    assert lines[3] == "autoencoder, step 400: checkpoint, the best so far"
    assert lines[4].startswith("step 1/40")
    assert "loss 3.925" in lines[4]  # its own, not smoothed with the autoencoder's


def test_the_curve_of_a_terminal_begins_anew_with_the_denoiser(screen):
    opened = screen(terminal="stderr")
    autoencoder = [replace(train_step(step, loss=900.0), split="autoencoder") for step in range(1, 30)]
    render_training([*autoencoder, *(train_step(step) for step in range(1, 30))], opened.output)
    last = opened.stderr.text.rpartition("step 28/40")[2]
    assert "900" in opened.stderr.text
    assert "900" not in last


def autoencoder_events() -> list[Event]:
    def figures(step: int, loss: float, black: float) -> list[Event]:
        values = (("loss", loss, ""), ("psnr_black", black, "dB"), ("psnr_alpha", 20.0, "dB"))
        return [Evaluation(name=name, value=value, unit=unit, split="autoencoder", step=step) for name, value, unit in values]

    step = replace(train_step(400, steps=4000), split="autoencoder")
    saved = Checkpoint(step=400, path="x", best=True, split="autoencoder")
    return [*figures(0, 0.9, 7.0), step, *figures(400, 0.26, 11.92), saved]


def test_an_autoencoders_figures_are_in_the_report_and_prove_nothing_of_the_pipeline(screen):
    facts = {"request": REQUEST, "model": MODEL, "versions": {}, "seconds": 1.0, "finish_reason": "complete"}
    log = [event.to_json() for event in (*autoencoder_events(), *(train_step(step) for step in range(1, 5)))]
    report = build_report(log, data=picture_report().data, **facts)
    opened = screen()
    write_summary(report, Path("mine"), opened.output)
    card, page = model_card(report, title="mine"), report_html(report, Path("mine"))
    for text in (opened.stdout.text, card, page):
        assert "autoencoder psnr over black, dB" in text
        assert "No pictures were kept back, so there is no proof that training helped." in text
    assert measured_splits(report) == []


@pytest.mark.parametrize(
    ("tokens", "pictures", "words"),
    [(812.3, None, "812 tokens/s"), (None, 0.0314, "0.031 pictures/s"), (None, 3.26, "3.3 pictures/s"), (None, 123.4, "123 pictures/s")],
)
def test_speed_is_told_in_what_is_learnt_from(tokens, pictures, words):
    assert format_speed(tokens, pictures) == words


def picture_report() -> RunReport:
    """Its sheets lie in the working folder."""
    facts = PictureFacts(
        files=(), splits={"train": PictureSplit(rows=9, captions=8)}, buckets=(Bucket(width=64, height=48, rows=9),), changes={HOSTILE: 2}
    )
    Path("samples").mkdir()
    for step in (0, STEPS):
        Image.new("RGB", (40, 20), (200, step, 30)).save(f"samples/{step}.png")
    sheets = tuple(Sheet(step=step, path=f"samples/{step}.png", prompts=(HOSTILE,), seeds=(7,)) for step in (0, STEPS))
    return training_report(data=facts, sheets=sheets, model=replace(MODEL, mode="image"), answers=())


def test_the_summary_shows_the_sheets_before_and_after(screen, monkeypatch):
    monkeypatch.setenv("COLORTERM", "truecolor")
    opened = screen(terminal="stdout")
    write_summary(picture_report(), Path(), opened.output)
    shown = opened.stdout.text
    assert shown.index("before: samples/0.png") < shown.index("38;2;200;0;30") < shown.index("after: samples/40.png")
    assert "38;2;200;40;30" in shown
    assert "(seed 7)" in shown
    assert "\x1b]0;evil" not in shown


def test_a_summary_outlives_its_sheets(screen):
    report = picture_report()
    Path("samples/0.png").unlink()
    opened = screen(terminal="stdout")
    write_summary(report, Path(), opened.output)
    assert "before: samples/0.png" in opened.stdout.text
    assert report_html(report, Path()).count('<img src="data:image/png') == 3  # one sheet and two curves


def test_what_is_said_of_pictures_is_text_in_page_and_card():
    report = picture_report()
    page, card = report_html(report, Path()), model_card(report, title="mine")
    for text in (page, card):
        assert "<script" not in text.replace("\\<script", "")
        assert "evil" not in text
    assert "![After 40 steps](samples/40.png)" in card
    assert "64 x 48: 9" in page

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from aigc_cli.core.errors import AigcError
from aigc_cli.core.events import Answer, Checkpoint, Evaluation, SampleSheet
from aigc_cli.training.data_facts import Bucket, DataFile, PictureFacts, PictureSplit
from aigc_cli.training.report import AUTOENCODER, VERSION, RunReport, compare, parse_report
from aigc_cli.training.report_build import LONGEST_CURVE, build_report
from tests.training_run import DATA, MODEL, REQUEST, STEPS, train_step, training_report


def built(events, **options):
    facts = {"request": REQUEST, "model": MODEL, "data": DATA, "versions": {}, "seconds": 1.0, "finish_reason": "complete"}
    return build_report([event.to_json() for event in events], **facts | options)


def test_a_report_goes_to_json_and_back():
    text = json.dumps(training_report().to_json(), allow_nan=False)
    assert json.dumps(parse_report(text.encode(), "report.json").to_json()) == text


def test_the_log_tells_steps_figures_and_answers():
    report = training_report()
    assert (report.training.steps, report.training.epochs, report.training.tokens) == (STEPS, 3.0, 900 * STEPS)
    assert report.training.peak_memory == 1_288_490_188
    assert report.before["validation"] == {"loss": 3.914, "perplexity": pytest.approx(50.1, abs=0.1), "exact-match": 0.0}
    assert report.after["validation"]["loss"] == pytest.approx(1.2)
    assert [pair.tuned for pair in report.answers] == ["北京是中国的首都，也是文化中心。", "water in the dark\n  a small sound"]
    assert report.cautions == ("12 rows are cut at 512 tokens",)
    assert len(report.curve) == STEPS


def test_after_is_measured_with_the_weights_that_were_kept():
    events = [train_step(1), Evaluation(name="loss", value=1.5, step=1), train_step(2), Evaluation(name="loss", value=1.9, step=2)]
    assert built(events, best_step=1).after == {"validation": {"loss": 1.5}}
    assert built(events).after == {"validation": {"loss": 1.9}}


def test_an_autoencoder_has_steps_of_its_own_and_figures_before_and_after():
    measured = [Evaluation(name="loss", value=value, split=AUTOENCODER, step=step) for step, value in ((0, 0.9), (30, 0.2), (60, 0.3))]
    saved = [Checkpoint(step=step, path="x", best=best, split=AUTOENCODER) for step, best in ((30, True), (60, False))]
    report = built(
        [*measured, *saved, train_step(1), Evaluation(name="loss", value=1.5, step=1), replace(train_step(60), split=AUTOENCODER)]
    )
    assert report.before == {AUTOENCODER: {"loss": 0.9}}
    assert report.after == {AUTOENCODER: {"loss": 0.2}, "validation": {"loss": 1.5}}
    assert (report.training.steps, [point.step for point in report.curve]) == (1, [1])


def test_an_answer_without_its_other_half_is_left_out():
    assert built([Answer(index=0, step=0, prompt="p", text="t", reference="r")]).answers == ()


def test_a_run_without_a_step_has_a_report_too():
    report = built([])
    assert (report.training.steps, report.training.peak_memory, report.curve, report.after) == (0, None, (), {})


def test_a_long_run_has_a_curve_of_means():
    report = built([train_step(step, steps=2500, loss=float(step % 2)) for step in range(1, 2501)])
    assert len(report.curve) <= LONGEST_CURVE
    assert report.curve[-1].step == 2500
    assert all(0.0 < point.loss < 1.0 for point in report.curve[:-1])


def test_what_is_not_finite_stays_out_of_json():
    report = built([train_step(1, loss=math.nan), train_step(2), Evaluation(name="perplexity", value=math.inf, step=2)])
    json.dumps(report.to_json(), allow_nan=False)
    assert [point.step for point in report.curve] == [2]


def test_a_gain_is_a_lower_loss_and_a_higher_share():
    gains = {compared.name: compared.gain for compared in compare(training_report())}
    assert gains["loss"] == pytest.approx(2.714)
    assert gains["exact-match"] == 41.5


def test_what_was_measured_once_has_no_gain():
    compared = compare(training_report(before={}))
    assert [(figure.before, figure.gain) for figure in compared] == [(None, None)] * 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda value: value.pop("model"), "model: field required"),
        (lambda value: value["answers"][0].pop("tuned"), "answers.0.tuned: field required"),
        (lambda value: value["training"].update(steps="many"), "training.steps: "),
        (lambda value: value["training"].update(finish_reason="magic"), "training.finish_reason: "),
        (lambda value: value.update(version=VERSION + 1), f"version {VERSION + 1}"),
    ],
)
def test_a_report_that_is_not_one_is_refused_by_name(change, said):
    value = training_report().to_json()
    change(value)
    with pytest.raises(AigcError, match=r"mine/report\.json") as error:
        parse_report(json.dumps(value).encode(), "mine/report.json")
    assert said in error.value.message


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000], ids=range(6))
def test_a_file_that_is_no_report_is_an_error(data):
    with pytest.raises(AigcError, match="no report that can be read"):
        parse_report(data, "report.json")


def test_fields_of_a_later_time_are_let_by():
    report = training_report()
    assert RunReport.from_json(report.to_json() | {"mood": "good"}) == report


def test_the_step_of_the_result():
    training = training_report().training
    assert replace(training, best_step=None).result_step == STEPS
    assert replace(training, best_step=20).result_step == 20


def test_a_report_on_pictures_goes_to_json_and_back():
    facts = PictureFacts(
        files=(DataFile(path="图片", sha256="ab", size=9, split="train"),),
        splits={"train": PictureSplit(rows=9, captions=8)},
        buckets=(Bucket(width=64, height=48, rows=9),),
        changes={"turned upright": 2},
    )
    sheets = [SampleSheet(step=step, path=f"/somewhere/mine/samples/{step}.png", prompts=("猫",), seeds=(0,)) for step in (0, 2, 4)]
    steps = [replace(train_step(step), tokens=None, tokens_per_second=None, pictures=4 * step, pictures_per_second=2.5) for step in (2, 4)]
    report = built([sheets[0], steps[0], sheets[1], steps[1], sheets[2]], data=facts, best_step=2)
    text = json.dumps(report.to_json())
    read = parse_report(text.encode(), "report.json")
    assert (json.dumps(read.to_json()), read.data, read.sheets) == (text, report.data, report.sheets)
    assert (report.noun, report.training.pictures, report.training.pictures_per_second) == ("pictures", 16, 2.5)
    assert [sheet.path for sheet in report.sheets] == ["samples/0.png", "samples/2.png", "samples/4.png"]
    assert [sheet.step for sheet in report.proofs] == [0, 2]  # of the weights that were kept

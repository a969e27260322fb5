from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from aigc_cli.render.training_summary import try_command, write_summary
from aigc_cli.render.width import cells
from tests.training_run import MODEL, training_report

COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def summary(screen, *, terminal="", report=None):
    opened = screen(terminal=terminal)
    write_summary(report or training_report(), Path("mine"), opened.output)
    assert opened.stderr.text == ""
    return opened.stdout.text


def test_in_a_pipe_it_is_plain_and_whole(screen):
    text = summary(screen)
    assert "  builtin:text, tuned with LoRA: 130K of 5.5M parameters (2.36%), in bfloat16 on cpu\n" in text
    assert "  complete after 40 steps, 3 epochs\n  1 min 03 s of training, 812 tokens/s, seed 7\n" in text
    assert "  1.2 GiB of memory at most (1.1 GiB estimated)\n" in text
    assert re.search(r"validation loss +│ +3\.914 │ 1\.200 │ +-2\.714 better\n", text)
    assert re.search(r"validation exact-match │ +0\.0% │ 41\.5% │ \+41\.5 points better\n", text)
    assert re.search(r"正面\|a_b │ +90\.0% │", text)
    assert "  prompt\n    北京是什么？\n    用一句话回答。\n" in text
    assert "  base\n    (nothing)\n  tuned\n    water in the dark\n" in text
    assert "  /home/someone/数据.jsonl:17, loss 8.31\n    <script>" in text
    assert text.endswith("Result\n  mine/\n  aigc chat -m builtin:text --adapter mine/\n")
    assert "⠀" not in text


@pytest.mark.parametrize("width", [80, 60, 20])
def test_on_a_terminal_it_fits_and_nothing_drives_it(screen, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    text = COLOURS.sub("", summary(screen, terminal="stdout"))
    assert "evil" not in text
    assert "\x1b" not in text
    assert "\x07" not in text
    lines = [line for line in text.splitlines() if "aigc chat" not in line]  # the command must be copied as it stands
    assert max(map(cells, lines)) < width
    assert "Loss of training" in text


def test_answers_stand_side_by_side_where_there_is_room(screen, monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    text = COLOURS.sub("", summary(screen, terminal="stdout"))
    assert re.search(r"\n  base +│ tuned\n", text)
    assert re.search(r"北京 +│ 北京是中国的首都，也是文化中心。\n", text)
    columns = {cells(line.partition("│")[0]) for line in text.partition("Answer 1")[2].splitlines() if "│" in line}
    assert len(columns) == 1  # wide characters are counted as such
    monkeypatch.setenv("COLUMNS", "60")
    assert "  base\n" in COLOURS.sub("", summary(screen, terminal="stdout"))


def test_a_model_that_became_no_better_is_called_that(screen):
    report = training_report(
        after={"validation": {"loss": 4.1}, "test": {"loss": 1.0}}, before={"validation": {"loss": 4.0}, "test": {"loss": 2.0}}
    )
    text = summary(screen, report=report)
    assert "+0.100 worse" in text
    assert "Training did not help: the loss on validation rows is no lower than before." in text


def test_what_earlier_rows_lost_is_not_taken_for_the_result(screen):
    before = {"validation": {"loss": 4.0}, "earlier": {"loss": 1.0}, "earlier-2": {"loss": 1.0}}
    after = {"validation": {"loss": 2.8}, "earlier": {"loss": 1.01}, "earlier-2": {"loss": 0.9}}
    text = summary(screen, report=training_report(before=before, after=after))
    assert "Training did not help" not in text
    assert "Some of what was learnt in earlier runs is lost: the loss on earlier rows is higher than before." in text
    text = summary(screen, report=training_report(before=before, after={**before, "validation": {"loss": 4.1}}))
    assert "Training did not help: the loss on validation rows is no lower than before." in text
    assert "is lost" not in text
    text = summary(screen, report=training_report(before={"earlier": {"loss": 1.0}}, after={"earlier": {"loss": 0.9}}))
    assert "No rows were kept back" in text


def test_without_rows_kept_back_there_is_no_proof(screen):
    assert "No rows were kept back, so there is no proof that training helped." in summary(
        screen, report=training_report(before={}, after={})
    )


def test_how_a_run_ended_and_which_weights_stayed(screen):
    training = dataclasses.replace(training_report().training, finish_reason="early_stopping", best_step=20)
    text = summary(screen, report=training_report(training=training))
    assert "ended early: no more gain after 40 steps, 3 epochs; kept are the weights of step 20, the best" in text


@pytest.mark.parametrize(
    ("method", "mode", "folder", "expected"),
    [
        ("lora", "chat", "mine", "aigc chat -m builtin:text --adapter mine/"),
        ("dora", "raw", "my run", "aigc complete -m builtin:text --adapter 'my run/' \"...\""),
        ("full", "chat", "新的", "aigc chat -m 新的/"),
        ("freeze", "raw", "mine", 'aigc complete -m mine/ "..."'),
    ],
)
def test_the_command_to_try_it(method, mode, folder, expected):
    report = training_report(model=dataclasses.replace(MODEL, method=method, mode=mode))
    assert try_command(report, Path(folder)).replace("'新的/'", "新的/") == expected

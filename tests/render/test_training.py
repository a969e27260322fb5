from __future__ import annotations

import re

import pytest

from aigc_cli.core.errors import AigcError
from aigc_cli.core.events import Done, Evaluation, Progress
from aigc_cli.render import training
from aigc_cli.render.output import Output
from aigc_cli.render.training import Pace, render_training, training_line
from aigc_cli.render.width import cells
from tests.training_run import STEPS, train_step, training_events

ERASE = "\r\x1b[4A\x1b[J"  # a line and four of a curve


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch):
    monkeypatch.setattr(training, "REDRAW_INTERVAL", 0.0)


class TestWithoutATerminal:
    def test_there_are_about_twenty_lines_and_no_control_codes(self, screen):
        opened = screen()
        done = render_training(training_events(), opened.output)
        assert isinstance(done, Done)
        assert opened.stdout.text == ""
        assert "\x1b" not in opened.stderr.text
        assert "\r" not in opened.stderr.text
        steps = [line for line in opened.stderr.text.splitlines() if re.match(r"step \d+/40", line)]
        assert 20 <= len(steps) <= 21
        assert steps[0].startswith("step 1/40  epoch 0.07  loss 3.925  lr 2.00e-04  812 tokens/s  1.2 GiB")
        assert "s left" in steps[1]
        assert "left" not in steps[-1]

    def test_figures_of_a_split_and_checkpoints_have_a_line_each(self, screen):
        opened = screen()
        render_training(training_events(), opened.output)
        lines = opened.stderr.text.splitlines()
        assert lines[0].startswith("before: validation loss 3.914, perplexity 50.1")
        assert "step 20: validation loss 2.700, perplexity 14.88" in lines
        assert "step 20: checkpoint, the best so far" in lines
        assert lines[-1] == "after (step 40): validation exact-match 41.5%"

    def test_the_last_figures_are_not_lost(self, screen):
        opened = screen()
        render_training([Evaluation(name="loss", value=1.5, split="test", step=3)], opened.output)
        assert opened.stderr.text == "after (step 3): test loss 1.500\n"

    def test_what_is_measured_of_the_result_is_told_from_what_was_measured_on_the_way(self, screen):
        opened = screen()
        best, last = (Evaluation(name="loss", value=loss, step=step) for loss, step in ((1.5, 3), (1.75, 6)))
        render_training([best, train_step(4), last, train_step(6), best], opened.output)
        told = [line for line in opened.stderr.text.splitlines() if "validation" in line]
        assert told == ["step 3: validation loss 1.500", "step 6: validation loss 1.750", "after (step 3): validation loss 1.500"]

    def test_a_short_run_says_every_step(self, screen):
        opened = screen()
        render_training([train_step(step, steps=3) for step in (1, 2, 3)], opened.output)
        assert len(opened.stderr.text.splitlines()) == 3

    def test_quiet_leaves_cautions_alone(self, screen):
        opened = screen(quiet=True)
        render_training(training_events(), opened.output)
        assert opened.stderr.text == "aigc: 12 rows are cut at 512 tokens\n      --max-length 1024\n"


class TestOnATerminal:
    @pytest.mark.parametrize("width", [20, 40, 60, 80])
    def test_the_curve_and_its_line_redraw_themselves_within_the_width(self, screen, monkeypatch, width):
        monkeypatch.setenv("COLUMNS", str(width))
        opened = screen(terminal="stderr")
        render_training([train_step(step) for step in range(1, STEPS + 1)], opened.output)
        frames = re.split(r"\r(?:\x1b\[\d+A)?\x1b\[[JK]", opened.stderr.text)[1:]
        assert len(frames) == STEPS + 1
        assert frames[-1] == ""  # nothing stays
        assert [len(frame.split("\n")) for frame in frames[1:-1]] == [5] * (STEPS - 1)  # one value makes no curve
        assert all(cells(line) < width for frame in frames for line in frame.split("\n"))

    def test_what_is_said_stands_above(self, screen):
        opened = screen(terminal="stderr")
        opened.output.stderr_colour = False
        events = [train_step(1), train_step(2), Evaluation(name="loss", value=1.5, step=2), train_step(3)]
        render_training(events, opened.output)
        assert f"{ERASE}step 2: validation loss 1.500\n" in opened.stderr.text
        assert opened.stderr.text.endswith(ERASE)

    def test_progress_takes_the_line_and_leaves_the_curve(self, screen):
        opened = screen(terminal="stderr")
        render_training([train_step(1), train_step(2), Progress(phase="evaluate", done=1, total=2, unit="rows")], opened.output)
        assert re.search(r"\x1b\[J[^\x1b]+\n[^\x1b]+\n[^\x1b]+\n[^\x1b]+\nevaluate .*50%  1 / 2", opened.stderr.text)

    def test_a_failure_leaves_a_clean_line(self, screen):
        opened = screen(terminal="stderr")

        def failing():
            yield train_step(1)
            yield train_step(2)
            raise AigcError("loss is nan")

        with pytest.raises(AigcError):
            render_training(failing(), opened.output)
        assert opened.stderr.text.endswith(ERASE)

    def test_a_low_screen_has_no_curve(self, screen, monkeypatch):
        monkeypatch.setenv("LINES", "8")
        opened = screen(terminal="stderr")
        render_training([train_step(1), train_step(2)], opened.output)
        assert "\n" not in opened.stderr.text

    def test_a_dumb_terminal_gets_plain_lines(self, screen, monkeypatch):
        opened = screen(terminal="stderr")
        monkeypatch.setenv("TERM", "dumb")
        monkeypatch.setenv("COLUMNS", "100")
        render_training([train_step(1)], Output())
        assert opened.stderr.text.startswith("step 1/40")
        assert "\x1b" not in opened.stderr.text

    def test_a_long_run_is_remembered_in_part(self, screen, monkeypatch):
        monkeypatch.setattr(training, "LONGEST_HISTORY", 16)
        opened = screen(terminal="stderr")
        view = training.LiveView(opened.output)
        for step in range(1, 101):
            view.step(train_step(step, steps=100, loss=float(step)))
        assert len(view.losses) <= 17
        assert view.losses == sorted(view.losses)
        assert {round(b - a) for a, b in zip(view.losses, view.losses[1:], strict=False)} == {view.stride}


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (100, "━━━━━━╌╌╌╌╌╌ step 20/40 · epoch 1.50 · loss 2.500 · lr 2.00e-04 · 812 tokens/s · 10 s left · 1.2 GiB"),
        (60, "━━━━╌╌╌╌╌ step 20/40 · loss 2.500 · 812 tokens/s · 10 s left"),
        (30, "step 20/40 · loss 2.500"),
        (20, "━━━━╌╌╌╌ 20/40 2.500"),
        (4, "20/4"),
    ],
)
def test_a_line_says_what_fits(width, expected):
    pace = Pace()
    pace.first = train_step(10)
    pace.smoothed, pace.weight = 2.5, 1.0
    assert training_line(train_step(20), pace, width) == expected


def test_the_loss_shown_begins_at_the_first_and_follows_slowly():
    pace = Pace()
    pace.add(train_step(1, loss=4.0))
    assert pace.loss == pytest.approx(4.0)
    for step in range(2, 200):
        pace.add(train_step(step, loss=1.0))
    assert pace.loss == pytest.approx(1.0, abs=1e-3)


def test_a_resumed_run_knows_its_pace_after_two_steps():
    pace = Pace()
    pace.add(train_step(30, t=1.0))
    assert pace.seconds_left(train_step(30, t=1.0)) is None
    assert pace.seconds_left(train_step(32, t=5.0)) == pytest.approx(2.0 * 8)

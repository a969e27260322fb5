from __future__ import annotations

import io
import re

import pytest
from PIL import Image

from aigc_cli.core.events import Caution, Done, ImageSaved, ImageStep, Progress
from aigc_cli.render import images
from aigc_cli.render.images import ImagesDone, Pace, image_line, render_images
from aigc_cli.render.width import cells

STEPS = 5


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch):
    monkeypatch.setattr(images, "REDRAW_INTERVAL", 0.0)
    monkeypatch.setenv("COLORTERM", "truecolor")
    for name in ("TERM_PROGRAM", "KITTY_WINDOW_ID", "TMUX", "STY"):
        monkeypatch.delenv(name, raising=False)


def preview(colour="red"):
    file = io.BytesIO()
    Image.new("RGB", (24, 16), colour).save(file, "PNG")
    return file.getvalue()


def steps(count=1, seen=True):
    return [
        ImageStep(t=2.0 * step, index=index, step=step, steps=STEPS, preview=preview() if seen else None)
        for step in range(1, STEPS + 1)
        for index in range(count)
    ]


def saved(path, index=0, **facts):
    return ImageSaved(t=11.0, index=index, path=str(path), seed=7 + index, width=48, height=32, **facts)


@pytest.fixture
def fox(tmp_path):
    path = tmp_path / "0001-狐狸-7.png"
    Image.new("RGB", (48, 32), "orange").save(path)
    return path


def frames(text):
    """What stood on the screen, drawing after drawing."""
    return [frame.replace("\x1b[K", "") for frame in re.split(r"\r(?:\x1b\[\d+A)?(?:\x1b\[[JK])?|\x1b\[J", text) if frame.strip()]


class TestInAPipe:
    def test_a_path_on_stdout_and_a_line_on_stderr(self, screen, fox):
        opened = screen()
        done = render_images([*steps(), saved(fox, score=0.31), Done(finish_reason="stop")], opened.output, preview="every")
        assert isinstance(done, ImagesDone)
        assert (done.saved, done.done.finish_reason) == (1, "stop")
        assert opened.stdout.text == f"{fox}\n"
        assert opened.stderr.text == "picture 1 · seed 7 · 48 x 32 · 11 s · score 0.310\n"

    def test_of_a_batch_each_line_counts_on(self, screen, fox):
        opened = screen()
        counted = Progress(phase="draw", done=3, total=5, unit=images.PICTURES)
        render_images([counted, *steps(2), saved(fox), saved(fox, 1)], opened.output, preview="none")
        *lines, sum_up = opened.stderr.text.splitlines()
        assert [line.split(" · ")[0] for line in lines] == ["picture 4/5", "picture 5/5"]
        assert sum_up.startswith("2 pictures, ")

    def test_quiet_leaves_paths_and_cautions(self, screen, fox):
        opened = screen(quiet=True)
        render_images([Caution(message="the width is made 104"), *steps(), saved(fox)], opened.output, preview="every")
        assert opened.stdout.text == f"{fox}\n"
        assert opened.stderr.text == "aigc: the width is made 104\n"

    def test_a_picture_that_is_on_stdout_itself_has_no_path_there(self, screen):
        opened = screen(terminal="stderr")
        opened.output.write_bytes(b"\x89PNG")
        render_images([*steps(), saved("-")], opened.output, preview="every")
        assert opened.stdout.buffer.getvalue() == b"\x89PNG"


class TestOnATerminal:
    @pytest.mark.parametrize("width", [20, 40, 60, 80])
    @pytest.mark.parametrize("count", [1, 4])
    def test_the_picture_forms_in_its_place_within_the_width(self, screen, monkeypatch, width, count):
        monkeypatch.setenv("COLUMNS", str(width))
        opened = screen(terminal="stderr")
        render_images(steps(count), opened.output, preview="every")
        shown = frames(opened.stderr.text)
        assert len(shown) == STEPS - 1 + count
        assert all("▀" in frame for frame in shown)
        assert all(cells(line) < width for frame in shown for line in frame.split("\n"))
        assert opened.stderr.text.endswith("\x1b[J")  # nothing stays

    def test_it_is_drawn_over_without_being_erased(self, screen):
        opened = screen(terminal="stderr")
        render_images(steps(), opened.output, preview="every")
        assert opened.stderr.text.startswith("\r\x1b[K")
        starts = re.findall(r"\r\x1b\[\d+A(\x1b\[J)?", opened.stderr.text)
        assert starts == [""] * (STEPS - 1) + ["\x1b[J"]

    def test_a_step_of_several_is_drawn_once_with_all_of_them(self, screen, monkeypatch):
        monkeypatch.setenv("COLUMNS", "60")
        opened = screen(terminal="stderr")
        render_images(steps(3), opened.output, preview="every")
        *_, last = frames(opened.stderr.text)
        assert {cells(line) for line in last.split("\n")[:-1]} == {3 * 19 + 2}

    @pytest.mark.parametrize("mode", ["final", "none"])
    def test_unless_it_is_not_wanted(self, screen, mode):
        opened = screen(terminal="stderr")
        render_images(steps(), opened.output, preview=mode)
        assert "▀" not in opened.stderr.text
        assert f"step {STEPS}/{STEPS}" in opened.stderr.text

    def test_what_is_saved_is_shown_and_stays(self, screen, fox):
        for mode, shown in (("every", True), ("final", True), ("none", False)):
            opened = screen(terminal="stdout stderr")
            render_images([saved(fox)], opened.output, preview=mode)
            assert ("▀" in opened.stderr.text) is shown
            assert opened.stdout.text == f"{fox}\n"

    def test_a_name_that_a_terminal_would_obey_is_not_obeyed(self, screen):
        opened = screen(terminal="stdout")
        render_images([saved("fox\x1b]0;owned\x07.png")], opened.output, preview="none")
        assert opened.stdout.text == "fox.png\n"

    def test_a_picture_that_is_gone_ends_nothing(self, screen, fox, tmp_path):
        opened = screen(terminal="stderr")
        done = render_images([saved(tmp_path / "gone.png"), saved(fox, 1)], opened.output, preview="final")
        assert done.saved == 2
        assert "there is no file" in " ".join(opened.stderr.text.split())

    def test_without_colours_there_is_the_line_alone(self, screen, monkeypatch):
        monkeypatch.setenv("NO_COLOR", "1")
        opened = screen(terminal="stderr")
        render_images(steps(), opened.output, preview="every")
        assert "▀" not in opened.stderr.text

    def test_at_most_four_times_a_second(self, screen, monkeypatch):
        monkeypatch.setattr(images, "REDRAW_INTERVAL", 60.0)
        opened = screen(terminal="stderr")
        render_images(steps(2), opened.output, preview="every")
        assert len(frames(opened.stderr.text)) == 2  # of the first step both pictures, as they come

    def test_what_fails_leaves_a_clean_screen(self, screen):
        def events():
            yield from steps()[:3]
            raise RuntimeError

        opened = screen(terminal="stderr")
        with pytest.raises(RuntimeError):
            render_images(events(), opened.output, preview="every")
        assert opened.stderr.text.endswith("\x1b[J")


class TestTime:
    def test_seconds_for_a_step_and_left_for_picture_and_batch(self):
        pace = Pace()
        pace.batch(Progress(phase="draw", done=2, total=10, unit=images.PICTURES))
        for step in steps(2, seen=False)[:6]:
            pace.step(step)
        line = image_line(step, pace, 100)
        assert "picture 3-4/10 · step 3/5 · 2.00 s/step · 4.0 s left · 34 s for all" in line  # 3 more pairs of 5 steps

    def test_the_batch_is_told_by_the_pictures_there_are(self, monkeypatch):
        now = [100.0]
        monkeypatch.setattr(images.time, "monotonic", lambda: now[0])
        pace = Pace()
        pace.batch(Progress(phase="draw", done=0, total=4, unit=images.PICTURES))
        for step in steps(seen=False):
            now[0] = 100.0 + step.t
            pace.step(step)
        pace.save()
        now[0] = 122.0  # decoding and saving took 12 s beside the 10 of the steps
        for step in steps(seen=False)[:2]:
            now[0] += 2.0
            pace.step(step)
        assert pace.batch_left(step) == pytest.approx(3 * 22 - 4)

    def test_the_least_important_goes_first_where_it_is_narrow(self):
        pace = Pace()
        for step in steps(seen=False)[:3]:
            pace.step(step)
        assert "━" in image_line(step, pace, 60)
        assert image_line(step, pace, 22) == "step 3/5 · 4.0 s left"
        assert image_line(step, pace, 12) == "step 3/5"

    def test_a_lower_step_is_another_picture(self):
        pace = Pace()
        for step in [*steps(seen=False), steps(seen=False)[0]]:
            pace.step(step)
        assert pace.seconds_per_step(step) is None

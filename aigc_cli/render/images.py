"""Pictures as they are drawn: paths on stdout, a bar and the forming pictures on stderr's terminal."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from aigc_cli.core.errors import AigcError
from aigc_cli.core.events import Done, Event, ImageFailed, ImageRejected, ImageSaved, ImagesPlanned, ImageStep, Progress
from aigc_cli.core.image import Previews
from aigc_cli.core.leaving import before_leaving
from aigc_cli.core.units import format_duration
from aigc_cli.render.half_blocks import half_blocks
from aigc_cli.render.output import Output, stderr_columns
from aigc_cli.render.parts_line import parts_line
from aigc_cli.render.sanitize import sanitize
from aigc_cli.render.terminal_image import Terminal, draw_aside, stderr_terminal
from aigc_cli.render.text import show_remark

PICTURES = "pictures"  # the unit of a Progress that counts a batch
STDOUT = "-"  # the path of a picture that went to stdout itself
REDRAW_INTERVAL = 0.25  # seconds; over a slow line each drawing has to arrive
FORMING = 40  # cells that a forming picture takes, at most
SHOWN, SHOWN_OF_MANY = 40, 20  # cells that a finished picture takes, alone and as one of a batch
NARROWEST = 16  # cells, of several beside each other
LINES_KEPT = 4  # of the screen, for what was said before


@dataclass(frozen=True)
class ImagesDone:
    """What a run came to. saved: pictures.  done: the event that ended it, None when the stream had none."""

    saved: int
    done: Done | None


def render_images(events: Iterable[Event], output: Output, *, preview: Previews) -> ImagesDone:
    """Shows a run. The paths of all its pictures go to stdout, one a line, as soon as they are there; not so STDOUT.

    preview: "every" shows pictures on stderr's terminal while they form and when they are saved, "final" only then.
    A Progress in PICTURES tells how many of a batch are done, before the next of them is drawn; with its total, the time
    that the batch will still take is told.
    """
    view = ImagesView(output, preview)
    done: Done | None = None
    rejected: list[ImageRejected] = []
    try:
        with before_leaving(view.broken_off):
            for event in events:
                match event:
                    case ImageStep():
                        view.step(event)
                    case ImageSaved() if event.was_there:
                        view.write_path(event)
                    case ImageSaved():
                        view.saved(event)
                    case ImagesPlanned():
                        view.planned(event)
                    case ImageRejected():
                        rejected.append(event)
                        output.detail(f"seed {event.seed} scores {event.score:.3f} and is not kept")
                    case ImageFailed():
                        output.caution(failed_line(event), event.hint)
                    case Progress() if event.unit == PICTURES:
                        view.pace.batch(event)
                    case Done():
                        done = event
                    case _:
                        show_remark(event, output)
    except BaseException as error:
        output.clear_progress()
        view.broken_off(is_error=isinstance(error, AigcError))
        raise
    finally:
        output.clear_progress()
    if rejected:
        output.note(rejected_line(rejected))
    saved = view.pace.saved
    if saved > 1 and view.pace.began_at:
        output.note(f"{saved} pictures, {format_duration((time.monotonic() - view.pace.began_at) / saved)} each")
    return ImagesDone(saved, done)


class Pace:
    """What the steps so far tell of the time that is left: of the pictures that run together, a group, and of the batch."""

    def __init__(self) -> None:
        self.group: dict[int, ImageStep] = {}  # the last step of each picture in it
        self.first: ImageStep | None = None
        self.group_ended = False
        self.group_began_at = 0.0
        self.began_at = 0.0  # when the first picture of this run did
        self.saved = 0  # in this run
        self.finished = 0  # of the batch
        self.total: int | None = None

    def step(self, event: ImageStep) -> None:
        earlier = self.group.get(event.index)
        if self.first is None or self.group_ended or event.step < self.first.step or (earlier and event.step <= earlier.step):
            self.group_began_at = time.monotonic() - event.t  # before its first step, in which prompts are encoded
            self.began_at = self.began_at or self.group_began_at
            self.group, self.first, self.group_ended = {}, event, False
        self.group[event.index] = event

    def completes(self, event: ImageStep) -> bool:
        """Whether a group's step ends here: its pictures come one by one, and how many they are is known from the second step on."""
        return self.seconds_per_step(event) is None or event.index == next(reversed(self.group))

    def save(self) -> None:
        self.group_ended = True
        self.saved += 1
        self.finished += 1

    def batch(self, event: Progress) -> None:
        self.finished, self.total = event.done, event.total

    def seconds_per_step(self, event: ImageStep) -> float | None:
        """None for a group's first step: there is none to compare it with."""
        if self.first is None or event.step == self.first.step:
            return None
        return (event.t - self.first.t) / (event.step - self.first.step)

    def group_left(self, event: ImageStep) -> float | None:
        """Seconds."""
        per_step = self.seconds_per_step(event)
        return None if per_step is None else per_step * (event.steps - event.step)

    def batch_left(self, event: ImageStep) -> float | None:
        """Seconds: by the pictures of this run where there are some, else by this group's steps."""
        left, per_step = self.group_left(event), self.seconds_per_step(event)
        if self.total is None:
            return None
        if self.saved:
            per_picture = (self.group_began_at - self.began_at) / self.saved
            in_group = time.monotonic() - self.group_began_at
            return max(left or 0.0, per_picture * (self.total - self.finished) - in_group)
        if left is None or per_step is None:
            return None
        later = max(0, self.total - self.finished - len(self.group))
        return left + per_step * event.steps * later / len(self.group)


class ImagesView:
    """Redraws the forming pictures and the line below them; what is saved and said scrolls by above."""

    def __init__(self, output: Output, preview: Previews) -> None:
        self.output, self.preview = output, preview
        self.pace = Pace()
        self.plan: ImagesPlanned | None = None
        self.drawn_at = 0.0
        self.is_due = False

    def planned(self, event: ImagesPlanned) -> None:
        self.plan = event
        if event.pictures > 1 or event.done:
            number = f"{event.done} of them " if event.pictures > 1 else ""
            there = f", {number}there already" if event.done else ""
            self.output.note(f"{count_of(event.pictures)}{there}, seed {event.seed}")

    def broken_off(self, *, is_error: bool = False) -> None:
        """Says how to go on, if something is done and something left to draw; if nothing is, the seed that nobody knows yet.

        Of an error before the first picture the same command would only make another.
        """
        if self.plan is None:
            return
        if self.pace.saved and (done := self.plan.done + self.pace.saved) < self.plan.pictures:
            self.output.note(f"{done} of {self.plan.pictures} pictures are done; the same command with --seed {self.plan.seed} goes on")
        elif not self.pace.saved and self.plan.is_seed_new and not is_error:
            self.output.note(f"nothing was saved; with --seed {self.plan.seed} the same command draws the same")

    def step(self, event: ImageStep) -> None:
        self.pace.step(event)
        if not self.output.stderr_redraws:
            return
        if event.index == next(iter(self.pace.group)):
            self.is_due = time.monotonic() - self.drawn_at >= REDRAW_INTERVAL
        if self.is_due and self.pace.completes(event):
            self._draw(event)

    def saved(self, event: ImageSaved) -> None:
        self.pace.save()
        if self.preview != "none":
            self._show(event)
        self.write_path(event)
        self.output.note(saved_line(event, self.pace))

    def write_path(self, event: ImageSaved) -> None:
        if event.path != STDOUT:
            path = sanitize(event.path) if self.output.stdout_is_terminal else event.path
            self.output.write(f"{path}\n")

    def _show(self, event: ImageSaved) -> None:
        """A picture that cannot be read again is saved all the same, and no reason to end the run."""
        if not self.output.stderr_redraws or event.path == STDOUT:
            return
        from aigc_cli.pictures.opening import open_picture

        try:
            picture, _ = open_picture(Path(event.path))
        except AigcError as error:
            self.output.caution(error.message, error.hint)
        else:
            draw_aside(picture, self.output, SHOWN_OF_MANY if self.plan and self.plan.pictures > 1 else SHOWN)

    def _draw(self, event: ImageStep) -> None:
        self.drawn_at = time.monotonic()
        previews = [step.preview for step in self.pace.group.values() if step.preview]
        lines = forming(previews, stderr_terminal(self.output)) if self.preview == "every" else []
        self.output.draw([*lines, image_line(event, self.pace, stderr_columns() - 1)], over=True)


def forming(previews: list[bytes], terminal: Terminal) -> list[str]:
    """Pictures beside each other, as many of the first as fit; none without colours. previews: PNGs of one size.

    As half blocks, whatever else the terminal can: only text is redrawn in its place by all of them.
    """
    rows = terminal.lines - LINES_KEPT
    if not previews or terminal.depth is None or rows < 2:
        return []
    from PIL import Image

    width = terminal.columns - 1
    count = min(len(previews), max(1, (width + 1) // (NARROWEST + 1)))
    pictures = [Image.open(io.BytesIO(preview)) for preview in previews[:count]]
    highest = int(2 * rows * min(picture.width / picture.height for picture in pictures))  # columns
    columns = max(1, min(FORMING, highest, (width + 1) // count - 1))
    blocks = [half_blocks(picture, columns, terminal.depth) for picture in pictures]
    return [" ".join(lines) for lines in zip_longest(*blocks, fillvalue=" " * columns)]


def image_line(event: ImageStep, pace: Pace, width: int) -> str:
    """As much of the step as fits into so many cells, a bar where there is room for one."""
    return parts_line(image_parts(event, pace), event.step / event.steps, width, f"step {event.step}/{event.steps}")


def image_parts(event: ImageStep, pace: Pace) -> list[tuple[str, int]]:
    """What is known of the step, and how important that is."""
    per_step, left, batch_left = pace.seconds_per_step(event), pace.group_left(event), pace.batch_left(event)
    count = len(pace.group)
    numbers = f"{pace.finished + 1}" + (f"-{pace.finished + count}" if count > 1 else "")
    batch = f"picture {numbers}/{pace.total}" if pace.total is not None and pace.total > 1 else f"{count} pictures" if count > 1 else ""
    return [
        *([(batch, 4)] if batch else []),
        (f"step {event.step}/{event.steps}", 6),
        *([(f"{per_step:.2f} s/step", 2)] if per_step is not None else []),
        *([(f"{format_duration(left)} left", 5)] if left is not None and event.step < event.steps else []),
        *([(f"{format_duration(batch_left)} for all", 3)] if batch_left is not None and (pace.total or 0) > pace.finished + count else []),
    ]


def count_of(pictures: int) -> str:
    return f"{pictures} picture{'s' * (pictures != 1)}"


def rejected_line(rejected: Sequence[ImageRejected]) -> str:
    count, best = len(rejected), max(event.score for event in rejected)
    return (
        f"{count_of(count)} not kept, by its score of {best:.3f}"
        if count == 1
        else (f"{count_of(count)} not kept, by their scores, of which {best:.3f} is the best")
    )


def failed_line(event: ImageFailed) -> str:
    where = f" ({event.origin})" if event.origin else ""
    return f"picture {event.index + 1}{where} could not be drawn: {event.message}"


def drawn_in(event: ImageSaved) -> str:
    """Those that run together take their time together."""
    return format_duration(event.t) + (f" for {event.batch_size} together" if event.batch_size else "")


def saved_line(event: ImageSaved, pace: Pace) -> str:
    parts = [
        f"picture {pace.finished}" + (f"/{pace.total}" if pace.total is not None else ""),
        f"seed {event.seed}",
        f"{event.width} x {event.height}",
        *([drawn_in(event)] if event.t else []),
        *([f"score {event.score:.3f}"] if event.score is not None else []),
    ]
    return " · ".join(parts)

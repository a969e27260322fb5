"""Training as it runs, on stderr: a line and a curve that redraw themselves, or a plain line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from pathlib import Path
from shutil import get_terminal_size

from aigc_cli.core.errors import AigcError
from aigc_cli.core.events import Caution, Checkpoint, Done, Evaluation, Event, Loaded, Planned, Progress, SampleSheet, TrainStep
from aigc_cli.core.units import format_count, format_duration, format_size
from aigc_cli.render.loss_curve import draw_curve, draws_braille
from aigc_cli.render.output import Output, progress_line, stderr_columns
from aigc_cli.render.parts_line import parts_line
from aigc_cli.render.terminal_image import draw_aside, stderr_terminal
from aigc_cli.render.text import show_remark
from aigc_cli.render.training_figures import format_speed, in_words
from aigc_cli.training.report import AUTOENCODER

REDRAW_INTERVAL = 0.25  # seconds; over a slow line each drawing has to arrive
CURVE_HEIGHT, CURVE_WIDTH = 4, 72  # cells, at most
SMALLEST_SCREEN = 12  # lines; below, the curve would leave too little of what was said before
PLAIN_LINES = 20  # in a run, without a terminal
SMOOTHING = 0.9  # share that the past has in the loss shown
LONGEST_HISTORY = 4096  # losses that the curve is drawn from
SHEET_WIDTH = 80  # cells that samples take, at most


def render_training(events: Iterable[Event], output: Output) -> Done | None:
    """Shows a run; its result is not shown here. Returns: the Done event, or None when the stream had none."""
    view: LiveView | PlainView = LiveView(output) if output.stderr_redraws else PlainView(output)
    measured: list[Evaluation] = []  # of one split and step, said together
    told = Told()
    done = None
    try:
        for event in events:
            if measured and not (isinstance(event, Evaluation) and belongs(event, measured[0])):
                view.tell(told.line(measured))
                measured = []
            match event:
                case TrainStep():
                    told.see(event)
                    view.step(event)
                case Evaluation():
                    measured.append(event)
                case Checkpoint():
                    view.tell(f"{of_part(event.split)}step {event.step}: checkpoint{', the best so far' if event.best else ''}")
                case SampleSheet():
                    show_sheet(event, output)
                    view.tell(f"{f'step {event.step}' if event.step else 'before'}: samples in {event.path}")
                case Progress():
                    view.progress(event)
                case Planned():
                    output.note(plan_line(event))
                case Loaded() | Caution():
                    show_remark(event, output)
                case Done():
                    done = event
        if measured:
            view.tell(told.line(measured))
    finally:
        output.clear_progress()
    return done


def plan_line(event: Planned) -> str:
    """What is about to happen, in one sentence."""
    trained, total = format_count(event.trained_parameters), format_count(event.total_parameters)
    memory = f"; about {format_size(event.memory)} of memory, {format_size(event.free)} are free" if event.memory else ""
    twice = f", {event.duplicates:,} of them twice" if event.duplicates else ""
    if event.tokens is None:
        learnt = f"{event.rows:,} pictures{twice}"
    else:
        learnt = f"{event.rows:,} rows{twice}, {event.tokens:,} tokens, {event.trained_tokens:,} of them learnt"
    return f"{event.method}: {trained} of {total} parameters on {learnt}; {event.steps:,} steps{memory}"


def show_sheet(event: SampleSheet, output: Output) -> None:
    """On stderr's terminal, where it can show pictures. One that cannot be read again is no reason to end a run."""
    if not output.stderr_redraws:
        return
    terminal = stderr_terminal(output)
    if terminal.depth is None and terminal.protocol is None:
        return
    from aigc_cli.pictures.opening import open_picture

    try:
        picture, _ = open_picture(Path(event.path))
    except AigcError as error:
        output.caution(error.message, error.hint)
    else:
        draw_aside(picture, output, SHEET_WIDTH)


def belongs(event: Evaluation, to: Evaluation) -> bool:
    return (event.step, event.split) == (to.step, to.split)


def of_part(split: str | None) -> str:
    """Begins what is said of a part that is trained by itself."""
    return f"{split}, " if split else ""


class Told:
    """What was measured on the way: the rest, and what comes again, is of the result."""

    def __init__(self) -> None:
        self.steps: set[int] = set()  # that were validated
        self.steps_of_parts: dict[str, int] = {}  # how many there are to be, of each part that is trained by itself

    def see(self, event: TrainStep) -> None:
        if event.split:
            self.steps_of_parts[event.split] = event.steps

    def line(self, measured: Iterable[Evaluation]) -> str:
        """The figures of one split at one step."""
        first, *_ = measured = list(measured)
        figures = ", ".join(in_words(event.name, event.value, event.unit) for event in measured)
        if first.split == AUTOENCODER:
            return f"{of_part(first.split)}{self._when_of_part(first)}: {figures}"
        return f"{self._when(first)}: {first.split} {figures}"

    def _when(self, event: Evaluation) -> str:
        if not event.step:
            return "before"
        if event.split != "validation" or event.step in self.steps:
            return f"after (step {event.step})"
        self.steps.add(event.step)
        return f"step {event.step}"

    def _when_of_part(self, event: Evaluation) -> str:
        steps = self.steps_of_parts.get(event.split)
        return f"step {event.step:,}" + (f" of {steps:,}" if steps else "") if event.step else "before"


class Pace:
    """What a run's steps tell of the rest of it."""

    def __init__(self) -> None:
        self.first: TrainStep | None = None
        self.smoothed = 0.0
        self.weight = 0.0  # of the losses in `smoothed`, which begins at none

    def add(self, event: TrainStep) -> None:
        self.first = self.first or event
        self.smoothed = SMOOTHING * self.smoothed + (1 - SMOOTHING) * event.loss
        self.weight = SMOOTHING * self.weight + (1 - SMOOTHING)

    @property
    def loss(self) -> float:
        """Of the last steps, the newest counting most."""
        return self.smoothed / self.weight

    def seconds_left(self, event: TrainStep) -> float | None:
        """By the pace since the first step seen here, evaluations counted; None for the first and the last."""
        if self.first is None or event.step in (self.first.step, event.steps):
            return None
        return (event.t - self.first.t) / (event.step - self.first.step) * (event.steps - event.step)


class LiveView:
    """Redraws the curve of the losses and the line below it; remarks scroll by above."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.pace = Pace()
        self.losses: list[float] = []
        self.stride = 1  # steps that one entry of `losses` stands for
        self.last: TrainStep | None = None
        self.drawn_at = 0.0
        self.braille = draws_braille(sys.stderr.encoding)

    def step(self, event: TrainStep) -> None:
        if self.last and self.last.split != event.split:
            self.pace, self.losses, self.stride = Pace(), [], 1
        self.last = event
        self.pace.add(event)
        self._remember(event)
        if event.step == event.steps or self._is_due():
            self._draw(training_line(event, self.pace, stderr_columns() - 1))

    def progress(self, event: Progress) -> None:
        """What is counted meanwhile takes the place of the line, and leaves the curve."""
        if self.last is None:
            self.output.progress(event)
        elif event.done == event.total or self._is_due():
            self._draw(progress_line(event, stderr_columns() - 1))

    def tell(self, line: str) -> None:
        self.output.note(line)
        if self.last is not None:
            self._draw(training_line(self.last, self.pace, stderr_columns() - 1))

    def _remember(self, event: TrainStep) -> None:
        if event.step % self.stride == 0:
            self.losses.append(event.loss)
        if len(self.losses) > LONGEST_HISTORY:
            self.losses = self.losses[1::2]
            self.stride *= 2

    def _is_due(self) -> bool:
        return time.monotonic() - self.drawn_at >= REDRAW_INTERVAL

    def _draw(self, line: str) -> None:
        self.drawn_at = time.monotonic()
        columns = stderr_columns()
        height = CURVE_HEIGHT if get_terminal_size().lines >= SMALLEST_SCREEN else 0
        curve = draw_curve(self.losses, min(CURVE_WIDTH, columns - 1), height, braille=self.braille)
        self.output.draw([*curve, line])


class PlainView:
    """About PLAIN_LINES lines a run, and none that takes another's place."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.pace = Pace()

    def step(self, event: TrainStep) -> None:
        if self.pace.first and self.pace.first.split != event.split:
            self.pace = Pace()
        self.pace.add(event)
        every = max(1, event.steps // PLAIN_LINES)
        if event.step % every == 0 or event.step in (1, event.steps):
            self.output.note("  ".join(text for text, _ in training_parts(event, self.pace)))

    def progress(self, event: Progress) -> None:
        """Would be a line for each piece of work."""

    def tell(self, line: str) -> None:
        self.output.note(line)


def training_line(event: TrainStep, pace: Pace, width: int) -> str:
    """As much of the step as fits into so many cells, a bar where there is room for one."""
    shortest = f"{event.step}/{event.steps} {pace.loss:.3f}"
    return parts_line(training_parts(event, pace), event.step / event.steps, width, shortest)


def training_parts(event: TrainStep, pace: Pace) -> list[tuple[str, int]]:
    """What is known of the step, and how important that is."""
    left = pace.seconds_left(event)
    return [
        (f"{of_part(event.split)}step {event.step}/{event.steps}", 7),
        (f"epoch {event.epoch:.2f}", 1),
        (f"loss {pace.loss:.3f}", 6),
        (f"lr {event.learning_rate:.2e}", 3),
        (format_speed(event.tokens_per_second, event.pictures_per_second), 4),
        *([(f"{format_duration(left)} left", 5)] if left is not None else []),
        *([(format_size(event.peak_memory), 2)] if event.peak_memory else []),
    ]

"""What came of a run, on stdout: figures before and after, answers or samples, the rows that stay hard."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from aigc_cli.core.errors import AigcError
from aigc_cli.core.units import format_duration, format_size
from aigc_cli.render.loss_curve import draw_curve, draws_braille
from aigc_cli.render.markdown_table import draw_table
from aigc_cli.render.output import Output
from aigc_cli.render.sanitize import sanitize
from aigc_cli.render.side_by_side import fits_side_by_side, side_by_side
from aigc_cli.render.table import room
from aigc_cli.render.terminal_image import draw
from aigc_cli.render.training_figures import ENDINGS, format_change, format_figure, heading, manner, searched, speed, trained_share, verdict
from aigc_cli.render.width import one_line
from aigc_cli.render.wrap import BOLD, CYAN, LineWriter
from aigc_cli.training.report import AnswerPair, Comparison, LabelScore, RunReport, Sheet, compare

UNLIMITED = 10**6  # cells of a line in a pipe
CURVE_HEIGHT, CURVE_WIDTH = 6, 72  # cells
INDENT = "  "


def write_summary(report: RunReport, folder: Path, output: Output) -> None:
    """Writes the report of the run in `folder` for a person; in a pipe without colour, wrapping or columns."""
    Summary(output).write(report, folder)


class Summary:
    """A page that is written from above, each part below a heading."""

    def __init__(self, output: Output) -> None:
        self.output = output
        self.on_terminal = output.stdout_is_terminal
        self.width = room() if self.on_terminal else UNLIMITED
        self.into = LineWriter(output.write, lambda: self.width, colour=output.stdout_colour)
        self.is_first = True

    def write(self, report: RunReport, folder: Path) -> None:
        self.run(report)
        if self.on_terminal:
            self.curve(report)
        self.figures(report)
        self.labels(report)
        self.answers(report.answers)
        self.sheets(report.proofs, folder)
        self.hard_rows(report)
        self.result(report, folder)

    def run(self, report: RunReport) -> None:
        model, training = report.model, report.training
        self.heading("Run")
        self.text(f"{model.name}, {manner(report)}: {trained_share(report)}, in {model.dtype} on {model.device}")
        kept = "" if training.best_step in (None, training.steps) else f"; kept are the weights of step {training.best_step}, the best"
        passes = f"{training.epochs:.3g} epoch{'' if training.epochs == 1 else 's'}"
        self.text(f"{ENDINGS[training.finish_reason]} after {training.steps:,} steps, {passes}{kept}")
        self.text(f"{format_duration(training.seconds)} of training, {speed(report)}, seed {training.seed}")
        if training.peak_memory:
            estimate = f" ({format_size(training.estimated_memory)} estimated)" if training.estimated_memory else ""
            self.text(f"{format_size(training.peak_memory)} of memory at most{estimate}")

    def curve(self, report: RunReport) -> None:
        braille = draws_braille(sys.stdout.encoding)
        losses = [point.loss for point in report.curve]
        if lines := draw_curve(losses, min(CURVE_WIDTH, self.width - len(INDENT)), CURVE_HEIGHT, braille=braille):
            self.heading("Loss of training")
            for line in lines:
                self.into.put_line([(line, CYAN)])

    def figures(self, report: RunReport) -> None:
        self.heading("Before and after")
        if compared := compare(report):
            self.table(("measured", "before", "after", "change"), [figure_row(figure) for figure in compared])
        if remark := verdict(report):
            self.text(remark, BOLD)

    def labels(self, report: RunReport) -> None:
        if report.labels:
            self.heading("Labels after training")
            self.table(("label", "precision", "recall", "F1", "rows"), [label_row(score) for score in report.labels])

    def answers(self, pairs: Sequence[AnswerPair]) -> None:
        for number, pair in enumerate(pairs, 1):
            self.heading(f"Answer {number} of {len(pairs)}")
            self.named("prompt", pair.prompt)
            self.named("wanted", pair.reference)
            width = self.width - len(INDENT)
            if self.on_terminal and fits_side_by_side(2, width):
                columns = side_by_side([("base", said(pair.base)), ("tuned", said(pair.tuned))], width, colour=self.into.colour)
                for line in columns.rstrip("\n").split("\n"):
                    self.into.put_line([(line, "")])
            else:
                self.named("base", pair.base)
                self.named("tuned", pair.tuned)

    def sheets(self, sheets: Sequence[Sheet], folder: Path) -> None:
        """Where the pictures lie that were drawn before and after, and what they look like where the terminal can show it."""
        if not sheets:
            return
        self.heading("Samples")
        for sheet in sheets:
            self.text(f"{'after' if sheet.step else 'before'}: {folder / sheet.path}")
            self.picture(folder / sheet.path)
        for number, (prompt, seed) in enumerate(zip(sheets[-1].prompts, sheets[-1].seeds, strict=True), 1):
            self.text(f"{number}. {one_line(prompt, 200)} (seed {seed})")

    def picture(self, path: Path) -> None:
        """One that is no longer there is only named."""
        if not self.on_terminal:
            return
        from aigc_cli.pictures.opening import open_picture

        with contextlib.suppress(AigcError):
            draw(open_picture(path)[0], self.output, self.width - len(INDENT))

    def hard_rows(self, report: RunReport) -> None:
        if report.hardest:
            self.heading(f"{report.noun.capitalize()} with the highest loss{searched(report)}")
            for row in report.hardest:
                self.named(f"{row.origin}, loss {row.loss:.3g}", one_line(row.text, 200))

    def result(self, report: RunReport, folder: Path) -> None:
        self.heading("Result")
        self.text(f"{folder}/")
        self.into.put_line([(self.safe(try_command(report, folder)), CYAN)])  # unbroken, so that it can be copied

    def heading(self, title: str) -> None:
        self.into.begin()
        if not self.is_first:
            self.into.put_line([])
        self.is_first = False
        self.into.put(title, BOLD)
        self.into.end_line()
        self.into.begin([(INDENT, "")], [(INDENT, "")])

    def text(self, text: str, style: str = "") -> None:
        self.into.put(self.safe(text), style)
        self.into.end_line()

    def named(self, name: str, text: str) -> None:
        """A name, and the whole text below it."""
        self.text(name, BOLD)
        self.into.begin([(INDENT * 2, "")], [(INDENT * 2, "")])
        self.into.put(said(self.safe(text)))
        self.into.end_line()
        self.into.begin([(INDENT, "")], [(INDENT, "")])

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """The first column to the left, figures to the right; below each other on a narrow terminal."""
        delimiters = ["---", *["--:"] * (len(header) - 1)]
        cells = [[self.safe(cell).replace("|", "\\|") for cell in row] for row in rows]
        draw_table([f"| {' | '.join(row)} |" for row in (header, delimiters, *cells)], self.into)

    def safe(self, text: str) -> str:
        """A model's words must not drive the terminal."""
        return sanitize(text) if self.on_terminal else text


def figure_row(figure: Comparison) -> tuple[str, str, str, str]:
    before, after = (format_figure(value, figure.unit) for value in (figure.before, figure.after))
    return heading(figure), before, after, format_change(figure)


def label_row(score: LabelScore) -> tuple[str, ...]:
    shares = (f"{share:.1%}" for share in (score.precision, score.recall, score.f1))
    return one_line(score.label, 30), *shares, f"{score.support:,}"


def said(text: str) -> str:
    """The text, or a word where there is none."""
    return text.strip("\n") or "(nothing)"


def try_command(report: RunReport, folder: Path) -> str:
    """What to type to hear or see the result."""
    name = shlex.quote(f"{folder}/")
    model = f"-m {shlex.quote(report.model.name)} --adapter {name}" if report.model.is_adapter else f"-m {name}"
    if report.model.mode == "image":
        return f'aigc image {model} "..."'
    return f'aigc complete {model} "..."' if report.model.mode == "raw" else f"aigc chat {model}"

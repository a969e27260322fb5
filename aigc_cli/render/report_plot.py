"""The curves of a run as PNG. All lettering is ASCII, for matplotlib brings no font for more."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from aigc_cli.core.extras import extra
from aigc_cli.training.report import AUTOENCODER, RunReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INCHES, DOTS_PER_INCH = (6.4, 3.2), 150
INK = {"light": "#24292f", "dark": "#d7dde4"}
GRID = {"light": "#d8dee4", "dark": "#3a424c"}
LINES = ("#2f81f7", "#e8833a", "#3fa45b", "#b668d9")  # told apart on light and on dark
MARKERS = "os^D"


def loss_curve(report: RunReport, theme: str) -> bytes:
    """The loss of training, and of each split that was measured."""

    def draw(axes: Axes) -> None:
        axes.plot([point.step for point in report.curve], [point.loss for point in report.curve], color=LINES[0], lw=1.2, label="train")
        for number, split in enumerate(measured_splits(report), 1):
            points = sorted({(each.step, each.value) for each in report.evaluations if each.split == split and each.name == "loss"})
            colour, marker = LINES[number % len(LINES)], MARKERS[number % len(MARKERS)]
            axes.plot(*zip(*points, strict=True), color=colour, marker=marker, ms=4, lw=1.6, label=split)
        if report.training.best_step is not None:
            axes.axvline(report.training.best_step, color=INK[theme], lw=0.8, ls=":", label="weights kept")
        axes.set_ylabel("loss of a picture" if report.noun == "pictures" else "loss, nats per token")
        axes.legend(frameon=False, labelcolor=INK[theme])

    return plot(draw, theme)


def measured_splits(report: RunReport) -> list[str]:
    """Where a loss was measured, in that order; that of an autoencoder is another, and over steps of its own."""
    return list(dict.fromkeys(each.split for each in report.evaluations if each.name == "loss" and each.split != AUTOENCODER))


def learning_rate_curve(report: RunReport, theme: str) -> bytes:
    def draw(axes: Axes) -> None:
        axes.plot([point.step for point in report.curve], [point.learning_rate for point in report.curve], color=LINES[2], lw=1.6)
        axes.set_ylim(bottom=0)
        axes.set_ylabel("learning rate")
        axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))

    return plot(draw, theme)


def plot(draw: Callable[[Axes], None], theme: str) -> bytes:
    """A picture with a transparent ground. Raises: AigcError where the extra `plot` is missing."""
    with extra("plot", "a curve in HTML"):
        from matplotlib.figure import Figure
    figure = Figure(figsize=INCHES, layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor("none")
    draw(axes)
    axes.set_xlabel("step")
    axes.grid(color=GRID[theme], lw=0.6)
    axes.tick_params(colors=INK[theme])
    axes.yaxis.get_offset_text().set_color(INK[theme])
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(INK[theme])
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(GRID[theme])
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=DOTS_PER_INCH, transparent=True)
    return picture.getvalue()

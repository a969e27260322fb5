"""A run's report as one HTML file that needs nothing beside it, and no script."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path

from aigc_cli.core.units import format_duration, format_size
from aigc_cli.render.loss_curve import FEWEST
from aigc_cli.render.report_plot import learning_rate_curve, loss_curve
from aigc_cli.render.sanitize import sanitize
from aigc_cli.render.training_figures import (
    ENDINGS,
    file_name,
    format_change,
    format_figure,
    heading,
    manner,
    public_name,
    searched,
    settings_of,
    speed,
    trained_share,
    verdict,
)
from aigc_cli.training.report import RunReport, compare

TEMPLATE = "report.html"


@dataclass(frozen=True)
class Picture:
    """A curve in both colours, as data addresses, and what it shows for those who do not see it."""

    light: str
    dark: str
    description: str


def report_html(report: RunReport, folder: Path) -> str:
    """The page; of paths only the files' names. folder: of the run, where its sheets of samples lie.

    Raises: AigcError where the extra `plot` is missing.
    """
    import jinja2

    # what a model or a file says is escaped by autoescape; `text` drops what HTML has no place for
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "text": sanitize,
        "size": format_size,
        "duration": format_duration,
        "figure": format_figure,
        "change": format_change,
        "heading": heading,
        "file_name": file_name,
    }
    template = environment.from_string(resources.files("aigc_cli.render").joinpath(TEMPLATE).read_text("utf-8"))
    compared = compare(report)
    return template.render(
        report=report,
        name=sanitize(public_name(report.model.name)),
        compared=compared,
        verdict=verdict(report),
        ending=ENDINGS[report.training.finish_reason],
        manner=manner(report),
        trained_share=trained_share(report),
        settings=settings_of(report),
        pictures=pictures(report),
        searched=searched(report),
        speed=speed(report),
        sheets=shown_sheets(report, folder),
    )


@dataclass(frozen=True)
class ShownSheet:
    """address: the picture itself, in the page."""

    step: int
    address: str


def shown_sheets(report: RunReport, folder: Path) -> list[ShownSheet]:
    """What was drawn before and after; without those that are no longer there."""
    paths = [(sheet.step, folder / sheet.path) for sheet in report.proofs]
    return [ShownSheet(step, as_address(path.read_bytes())) for step, path in paths if path.is_file()]


def pictures(report: RunReport) -> list[Picture]:
    if len(report.curve) < FEWEST:
        return []
    first, last = report.curve[0], report.curve[-1]
    falls = f"from {format_figure(first.loss)} to {format_figure(last.loss)} in {last.step:,} steps"
    return [
        picture(partial(loss_curve, report), f"The loss of training goes {falls}."),
        picture(partial(learning_rate_curve, report), "The learning rate at each step."),
    ]


def picture(draw: Callable[[str], bytes], description: str) -> Picture:
    return Picture(as_address(draw("light")), as_address(draw("dark")), description)


def as_address(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"

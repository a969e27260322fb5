"""`aigc report`: what came of a run of training, again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aigc_cli.commands.output import open_output
from aigc_cli.core.errors import UsageError
from aigc_cli.options import OUTPUT, OutputOptions

if TYPE_CHECKING:
    from aigc_cli.render.output import Output
    from aigc_cli.training.report import RunReport

REPORT = "report.json"


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that aigc finetune wrote.", show_default=False)],
    options: OutputOptions,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write one self-contained HTML page; - is stdout.", rich_help_panel=OUTPUT)
    ] = None,
) -> None:
    """Show what a run of training achieved, or write it as an HTML page."""
    output = open_output(options)
    if html is not None and str(html) == "-" and options.json:
        raise UsageError("--json and --html - both want stdout", "name a file for the page")
    found = read_report(run)
    if html is not None:
        write_page(found, run, html, output)
    if options.json:
        output.write_json(found.to_json())
    elif html is None:
        from aigc_cli.render.training_summary import write_summary

        write_summary(found, run, output)


def read_report(run: Path) -> RunReport:
    """Raises: UsageError where there is none, AigcError for one that cannot be read."""
    from aigc_cli.training.report import parse_report

    path = run / REPORT
    if path.is_file():
        return parse_report(path.read_bytes(), str(path))
    if not run.is_dir():
        what = "is a file" if run.exists() else "does not exist"
        raise UsageError(f"{run} {what}", "name the folder that aigc finetune -o wrote")
    if (run / "run.json").is_file():
        raise UsageError(f"the run in {run} is not finished, so it has no report yet", f"finish it: aigc finetune --resume -o {run}")
    raise UsageError(f"{run} holds no run of aigc finetune", "name the folder that aigc finetune -o wrote")


def write_page(found: RunReport, run: Path, path: Path, output: Output) -> None:
    """Replaces the file as a whole. Raises: UsageError for a path that cannot be one, AigcError without matplotlib."""
    from aigc_cli.atomic_file import replace_file
    from aigc_cli.core.units import format_size
    from aigc_cli.render.report_html import report_html

    if str(path) == "-":
        output.write(report_html(found, run))
        return
    if path.is_dir():
        raise UsageError(f"{path} is a folder, not a file", f"name a file: --html {path / 'report.html'}")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}", "create it first")
    page = report_html(found, run).encode("utf-8", "backslashreplace")
    replace_file(path, page)
    output.note(f"{path}: {format_size(len(page))}")

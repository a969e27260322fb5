"""`aigc grid`: many pictures on one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aigc_cli.commands.output import open_output
from aigc_cli.core.elision import elided
from aigc_cli.core.errors import UsageError
from aigc_cli.core.request import check
from aigc_cli.core.units import format_size
from aigc_cli.options import OUTPUT, OutputOptions

if TYPE_CHECKING:
    from PIL import Image

    from aigc_cli.pictures.metadata import Format
    from aigc_cli.render.output import Output

STDOUT = "-"
LARGEST_CELL = 4096  # pixels
LAYOUT = "Layout"


def grid(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Pictures, in their order on the sheet.", show_default=False)],
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The sheet: .png, .jpg or .webp; - is stdout.",
            rich_help_panel=OUTPUT,
            show_default=False,
        ),
    ],
    options: OutputOptions,
    columns: Annotated[
        int | None, typer.Option(help="Pictures in a row; without it, a sheet about square.", rich_help_panel=LAYOUT)
    ] = None,
    cell: Annotated[
        int | None, typer.Option(help="Width and height of a picture's place, in pixels; without it 128 to 256.", rich_help_panel=LAYOUT)
    ] = None,
    captions: Annotated[
        bool, typer.Option("--captions/--no-captions", help="Prompt and seed below each picture, or its name.", rich_help_panel=LAYOUT)
    ] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.", rich_help_panel=OUTPUT)] = False,
) -> None:
    """Put pictures on one contact sheet, with their prompts and seeds."""
    from aigc_cli.atomic_file import replace_file
    from aigc_cli.pictures.metadata import encode_image
    from aigc_cli.store.durable import room_wanted
    from aigc_cli.store.lock import writable

    check("--columns", columns, 1)
    check("--cell", cell, 16, LARGEST_CELL)
    screen = open_output(options)
    form = sheet_form(output, screen, overwrite=overwrite)
    sheet, remarks = make_sheet(files, cell, columns, captions=captions)
    data = encode_image(sheet, None, form)
    if str(output) == STDOUT:
        screen.write_bytes(data)
    else:
        with writable(output.parent), room_wanted(output.parent):
            replace_file(output, data)
    for remark in remarks:
        screen.caution(remark)
    if options.json:
        screen.write_json({"path": str(output), "width": sheet.width, "height": sheet.height, "pictures": len(files), "bytes": len(data)})
    else:
        name = "stdout" if str(output) == STDOUT else output
        count = f"{len(files)} picture{'s' * (len(files) != 1)}"
        screen.note(f"{name}: {count}, {sheet.width} x {sheet.height}, {format_size(len(data))}")


def sheet_form(output: Path, screen: Output, *, overwrite: bool) -> Format:
    """How the sheet is written. Raises: UsageError where it cannot go."""
    from aigc_cli.pictures.metadata import SUFFIXES
    from aigc_cli.pictures.names import refuse_existing

    if str(output) == STDOUT:
        if screen.stdout_is_terminal or screen.json:
            what = "--json and -o - both want stdout" if screen.json else "a picture's bytes do not go to a terminal"
            raise UsageError(what, "name a file after -o")
        return "png"
    if (form := SUFFIXES.get(output.suffix.lower())) is None:
        raise UsageError(f"{elided(output)} has no ending that says how to write it", f"name a file that ends in {', '.join(SUFFIXES)}")
    refuse_existing(output, overwrite=overwrite)
    if not output.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {output.parent}", "create it first")
    return form


def make_sheet(files: list[Path], cell: int | None, columns: int | None, *, captions: bool) -> tuple[Image.Image, tuple[str, ...]]:
    """As contact_sheet. Raises: UsageError that names all bad pictures, which are looked for once there is one."""
    from aigc_cli.commands.bad_pictures import bad_pictures_error
    from aigc_cli.pictures.opening import open_picture
    from aigc_cli.pictures.sheet import Tile, captioned, contact_sheet

    try:
        return contact_sheet([captioned(path) if captions else Tile(path) for path in files], cell, columns)
    except UsageError:
        bad: list[UsageError] = []
        for path in files:
            try:
                open_picture(path)
            except UsageError as error:
                bad.append(error)
        if not bad:  # the sheet itself is too large
            raise
        raise bad_pictures_error(bad, len(files), "be put on a sheet", "leave them out") from None

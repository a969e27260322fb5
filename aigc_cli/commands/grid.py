"""`aigc grid`: many pictures on one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aigc_cli.commands.output import open_output
from aigc_cli.core.errors import UsageError
from aigc_cli.core.request import check
from aigc_cli.core.units import format_size
from aigc_cli.options import OUTPUT, OutputOptions

LARGEST_CELL = 4096  # pixels
LAYOUT = "Layout"


def grid(
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Pictures, in their order on the sheet.", show_default=False)],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FILE", help="The sheet to write: .png, .jpg or .webp.", rich_help_panel=OUTPUT, show_default=False
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
    from aigc_cli.pictures.metadata import SUFFIXES, encode_image
    from aigc_cli.pictures.names import refuse_existing
    from aigc_cli.pictures.sheet import Tile, captioned, contact_sheet

    check("--columns", columns, 1)
    check("--cell", cell, 16, LARGEST_CELL)
    if (form := SUFFIXES.get(output.suffix.lower())) is None:
        raise UsageError(f"{output} has no ending that says how to write it", f"name a file that ends in {', '.join(SUFFIXES)}")
    refuse_existing(output, overwrite=overwrite)
    if not output.absolute().parent.is_dir():
        raise UsageError(f"there is no folder {output.parent}", "create it first")
    screen = open_output(options)
    sheet, remarks = contact_sheet([captioned(path) if captions else Tile(path) for path in files], cell, columns)
    data = encode_image(sheet, None, form)
    replace_file(output, data)
    for remark in remarks:
        screen.caution(remark)
    if options.json:
        screen.write_json({"path": str(output), "width": sheet.width, "height": sheet.height, "pictures": len(files), "bytes": len(data)})
    else:
        screen.note(f"{output}: {len(files)} pictures, {sheet.width} x {sheet.height}, {format_size(len(data))}")

"""The pictures of a run, or of a folder, shown together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from aigc_cli.atomic_file import replace_file
from aigc_cli.commands.image_files import PAGE, PICTURES_A_SHEET, sheet_names
from aigc_cli.commands.image_order import FileStyle
from aigc_cli.core.errors import AigcError
from aigc_cli.core.events import Caution, Event, FileWritten
from aigc_cli.pictures.metadata import SUFFIXES, encode_image, read_recipe
from aigc_cli.pictures.recipe import Recipe
from aigc_cli.pictures.sheet import captioned, contact_sheet
from aigc_cli.store.durable import room_wanted


def write_sheets(folder: Path, files: Sequence[Path], style: FileStyle, columns: int | None) -> Iterator[Event]:
    """Contact sheets of the pictures, a hundred on each."""
    for number, name in enumerate(sheet_names(len(files), style)):
        shown = files[number * PICTURES_A_SHEET : (number + 1) * PICTURES_A_SHEET]
        sheet, remarks = contact_sheet([captioned(path) for path in shown], columns=columns)
        with room_wanted(folder):
            replace_file(folder / name, encode_image(sheet, None, SUFFIXES[Path(name).suffix]))
        yield FileWritten(path=str(folder / name), what="contact sheet")
        for remark in remarks:
            yield Caution(message=remark)


def write_page(folder: Path, files: Sequence[Path]) -> Iterator[Event]:
    """The gallery of the folder. Pictures without a recipe are shown without one."""
    from aigc_cli.pictures.gallery import Entry, gallery_html  # with jinja2, for few runs

    entries = [Entry(path, recipe_or_none(path)) for path in files]
    page = gallery_html(entries, folder, folder.absolute().name)
    with room_wanted(folder):
        replace_file(folder / PAGE, page.encode("utf-8", "replace"))
    yield FileWritten(path=str(folder / PAGE), what="gallery")


def recipe_or_none(path: Path) -> Recipe | None:
    try:
        return read_recipe(path)[0]
    except AigcError:
        return None

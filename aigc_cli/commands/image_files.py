"""Pictures into files: whole or not at all, under names that are free, and each written down."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from aigc_cli.batch import manifest
from aigc_cli.batch.found import Found
from aigc_cli.batch.manifest import Record
from aigc_cli.batch.output_folder import save
from aigc_cli.batch.plan import Item
from aigc_cli.commands.image_draw import Failure, Picture, Rejected
from aigc_cli.commands.image_order import STDOUT, FileStyle, Order
from aigc_cli.commands.image_recipes import Recipes
from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Caution, ImageFailed, ImageRejected, ImageSaved, Loaded
from aigc_cli.models.check import shorten
from aigc_cli.pictures import names
from aigc_cli.pictures.alpha import ground_of
from aigc_cli.pictures.metadata import encode_picture
from aigc_cli.store.durable import room_wanted

SHEET, PAGE = "grid", "index.html"
PICTURES_A_SHEET = 100


class Folder:
    """Where a run's pictures go, each whole or not at all, and each written down. found: what an earlier run has left.

    is_choice: pictures compete, and a name that a row asks for is the first one's that is kept.
    """

    def __init__(self, path: Path, style: FileStyle, recipes: Recipes, seed: int, found: Found, *, is_choice: bool) -> None:
        self.path, self.style, self.recipes, self.seed = path, style, recipes, seed
        self.found, self.done = found, dict(found.done)
        self.is_choice = is_choice
        self.names: dict[int, str] = {}
        self.free: defaultdict[str, list[str]] = defaultdict(list)  # names by what rows ask for, where pictures compete

    def name(self, items: Sequence[Item]) -> Iterator[Caution]:
        """Gives those a name that are not done; all must be complete. Files that are there keep theirs, unless they may be replaced.

        Those of this plan may not, but for a damaged one, in whose place its picture is drawn. One that was changed is said to stay.
        """
        damaged, changed = self.found.damaged, self.found.changed
        waiting = [item for item in items if item.key not in self.done]
        waiting.sort(key=lambda item: (item.key not in damaged, item.key not in changed))  # whoever had a name is the first to get one
        nameless = [item for item in waiting if item.key not in damaged]
        own = {*damaged.values(), *(record.file for record in self.done.values() if record.file)}
        there = sorted(own if self.style.overwrite else own | {entry.name for entry in self.path.iterdir()})
        told_apart = names.told_apart([*there, *map(self._wanted, nameless)])[len(there) :]
        given = {item.key: name for item, name in zip(nameless, told_apart, strict=True)} | damaged
        for item in waiting:
            self.names[item.index] = given[item.key]
            if self.is_choice and item.filename:
                self.free[item.filename].append(given[item.key])
        moved = [f"{name} as {given[key]}" for key, name in changed.items() if given.get(key, name) != name]
        if moved:
            message = f"changed files stay, and their pictures are drawn beside them: {shorten(moved)}"
            yield Caution(message=message, hint="delete those that you do not want")

    def _wanted(self, item: Item) -> str:
        if item.filename:
            return names.check_name(item.filename, self.style.suffix, item.origin)
        values = {**vars(item.request), "index": item.index + 1, "model": Path(self.recipes.source.name).name}
        return names.fill_in(self.style.template, values, self.style.suffix)

    def keep(self, picture: Picture, loaded: Loaded) -> ImageSaved | None:
        """None for a picture that was done before and only drawn again for those that it runs with. Raises: AigcError for a full disk."""
        item = picture.item
        if item.key in self.done:
            return None
        content = encoded(picture, self.style, self.recipes, loaded)
        size = {"width": picture.pixels.width, "height": picture.pixels.height}
        bare = None if self.style.has_metadata else True
        name = self.free[item.filename].pop(0) if self.is_choice and item.filename else self.names[item.index]
        record = manifest.drawn(item, name, content, base_seed=self.seed, score=picture.score, no_metadata=bare, **size)
        with room_wanted(self.path):
            save(self.path, record, content)
        self.done[item.key] = record
        return dataclasses.replace(saved(self.path, record, picture.t), batch_size=picture.batch_size if picture.batch_size > 1 else None)

    def reject(self, rejected: Rejected) -> ImageRejected | None:
        """None as for keep."""
        record = manifest.rejected(rejected.item, rejected.score, base_seed=self.seed)
        if record.key in self.done:
            return None
        with room_wanted(self.path):
            manifest.append(self.path, record)
        self.done[record.key] = record
        return told_rejected(record)

    def fail(self, failure: Failure) -> ImageFailed | None:
        """None as for keep: what is there stays done."""
        if failure.item.key in self.done:
            return None
        with room_wanted(self.path):
            manifest.append(self.path, manifest.failed(failure.item, failure.error.message, base_seed=self.seed))
        return told_failed(failure)

    def files(self, items: Sequence[Item]) -> list[Path]:
        """Of the items that are done, in their order."""
        records = (self.done.get(item.key) for item in items)
        return [self.path / record.file for record in records if record and record.file]


def encoded(picture: Picture, style: FileStyle, recipes: Recipes, loaded: Loaded) -> bytes:
    recipe = recipes.recipe(picture, loaded) if style.has_metadata else None
    request = picture.item.request
    ground = None if request.transparent else ground_of(request)
    return encode_picture(picture.pixels, recipe, style.form.value, style.quality, ground=ground)


class Stdout:
    """Takes the one picture of a run. write: of its bytes.  best_rejected: the highest score of those that were not kept."""

    def __init__(self, style: FileStyle, recipes: Recipes, write: Callable[[bytes], None]) -> None:
        self.style, self.recipes, self.write = style, recipes, write
        self.has_written = False
        self.best_rejected: float | None = None

    def keep(self, picture: Picture, loaded: Loaded) -> ImageSaved:
        self.write(encoded(picture, self.style, self.recipes, loaded))
        self.has_written = True
        request, pixels = picture.item.request, picture.pixels
        return ImageSaved(
            t=picture.t,
            index=picture.item.index,
            path=STDOUT,
            seed=request.seed,
            width=pixels.width,
            height=pixels.height,
            score=picture.score,
        )

    def reject(self, rejected: Rejected) -> ImageRejected:
        self.best_rejected = max(rejected.score, rejected.score if self.best_rejected is None else self.best_rejected)
        return told_rejected(manifest.rejected(rejected.item, rejected.score, base_seed=0))

    def fail(self, failure: Failure) -> ImageFailed:
        return told_failed(failure)


def saved(folder: Path, record: Record, t: float = 0.0, *, was_there: bool | None = None) -> ImageSaved:
    assert record.width
    assert record.height
    return ImageSaved(
        t=t,
        index=record.index,
        path=str(folder / str(record.file)),
        seed=record.seed,
        width=record.width,
        height=record.height,
        score=record.score,
        prompt=record.prompt,
        origin=record.origin,
        was_there=was_there,
    )


def told_rejected(record: Record, *, was_there: bool | None = None) -> ImageRejected:
    assert record.score is not None
    return ImageRejected(
        index=record.index, seed=record.seed, score=record.score, prompt=record.prompt, origin=record.origin, was_there=was_there
    )


def told_failed(failure: Failure) -> ImageFailed:
    item, error = failure.item, failure.error
    return ImageFailed(
        index=item.index,
        seed=item.request.seed,
        message=error.message,
        hint=error.hint,
        prompt=item.request.prompt,
        origin=item.origin or None,
    )


def sheet_names(pictures: int, style: FileStyle) -> list[str]:
    """Of the contact sheets that so many pictures need: of another format than theirs, so that out/*.png are the pictures alone."""
    suffix = ".png" if style.suffix == ".jpg" else ".jpg"
    sheets = max(1, math.ceil(pictures / PICTURES_A_SHEET))
    return [f"{SHEET}{suffix}", *(f"{SHEET}-{number}{suffix}" for number in range(2, sheets + 1))]


def refuse_taken_names(order: Order, items: Sequence[Item], records: Sequence[Record]) -> None:
    """Raises: UsageError for a file that is there already and that a row asks for by name, unless an earlier run drew it for this plan.

    So also for a sheet or page in a folder that no pictures were ever drawn into: it is somebody else's.
    """
    if order.folder is None or order.style.overwrite:
        return
    wanted = [*(sheet_names(len(items), order.style) if order.grid else []), *([PAGE] if order.webpage else [])]
    pictures = {record.file for record in records}
    for name in wanted:
        if (order.folder / name).exists() and (not records or name in pictures):
            raise UsageError(f"{order.folder / name} is there already", "choose another folder, or use --overwrite")
    keys = {item.key for item in items}
    own = {record.file: record.key for record in records if record.file and record.key in keys}
    drawn_before = set(own.values())
    for item in items:
        if item.filename and item.key not in drawn_before:
            name = names.check_name(item.filename, order.style.suffix, item.origin)
            if name not in own and (order.folder / name).exists():
                where = f"{item.origin}: " if item.origin else ""
                raise UsageError(f"{where}filename: {order.folder / name} is there already", "choose another name, or use --overwrite")

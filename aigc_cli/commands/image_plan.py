"""What a run of `aigc image` is to draw, and what of it an earlier run has left."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aigc_cli.batch import manifest
from aigc_cli.batch.found import Found, find_done, pictures_there
from aigc_cli.batch.manifest import Record, earlier_row_seeds, earlier_seed
from aigc_cli.batch.plan import Item, plan_items
from aigc_cli.batch.rows import PromptRow
from aigc_cli.commands.image_order import Choice, Order
from aigc_cli.commands.image_recipes import Recipes
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Caution, Event
from aigc_cli.core.image import SEEDS
from aigc_cli.models.check import ADAPTER_CONFIG, CONFIG, shorten
from aigc_cli.models.fingerprint import fingerprint_path
from aigc_cli.pictures.recipe import LORA, Part

READ_BESIDE = {LORA: ADAPTER_CONFIG, "controlnet": CONFIG}  # with a file of that kind; a VAE's has the config of the model's own


@dataclass(frozen=True)
class Plan:
    """What is to be drawn, with what. clip: the folder of the one that scores.

    seed: of the first row.  is_seed_new: it was drawn for this run.
    """

    order: Order
    source: ModelSource
    clip: Path | None
    items: tuple[Item, ...]
    seed: int
    is_seed_new: bool
    recipes: Recipes

    @property
    def candidates(self) -> int:
        """How many items that follow each other are drawn for those that are kept of them."""
        return (self.order.choice and self.order.choice.best_of) or 1

    def choice_of(self, item: Item) -> int:
        """Which of those that compete with each other it belongs to."""
        return item.index // self.candidates

    @property
    def is_single(self) -> bool:
        """Whether there is one picture, asked for on the command line."""
        return len(self.items) == 1 and self.order.prompts is None

    @property
    def kept(self) -> int:
        """Pictures that the run ends with, at most."""
        of_each = self.order.choice.keep if self.order.choice and self.order.choice.best_of else 1
        return len(self.items) // self.candidates * of_each


def make_plan(order: Order, rows: Sequence[PromptRow], source: ModelSource, clip: Path | None, records: Sequence[Record]) -> Plan:
    """A file of prompts that is given again without a seed goes on with the one it had, else with the folder's; a single prompt is
    drawn anew. Rows that the file had with the same seed of its first row keep their own.

    Raises: UsageError for several pictures that would go to stdout, and as plan_items.
    """
    own = [record for record in records if order.prompts and is_from(record, rows[0].origin)]
    known = earlier_seed(own or records) if order.seed is None and order.prompts else order.seed
    seed = secrets.randbelow(SEEDS) if known is None else known
    recipes = Recipes(source, order.engine)
    items = plan_items(rows, order.common, seed=seed, identity=identity(order, recipes, clip), earlier=earlier_row_seeds(own, seed))
    plan = Plan(order, source, clip, items, seed, known is None, recipes)
    if order.folder is None and plan.kept > 1:
        raise UsageError(f"-o - is for one picture, and that makes {plan.kept}", "name a folder after -o")
    return plan


def identity(order: Order, recipes: Recipes, clip: Path | None) -> dict[str, Any]:
    """What decides what a run draws besides its requests. What is not asked for is left out: it changes no key when it is new."""
    style, choice = order.style, order.choice
    values = {
        "model": recipes.fingerprint,
        "dtype": order.engine.dtype if order.engine.dtype != "auto" else None,
        "cache": order.engine.cache or None,
        "parts": [part_identity(part) for part in recipes.parts] or None,
        "format": [style.form.value, style.quality] if style.suffix != ".png" else None,
        "choice": chosen_by(choice, clip) if choice and clip else None,
    }
    return {name: value for name, value in values.items() if value is not None}


def part_identity(part: Part) -> list[Any]:
    """Its content, its share, what is read beside its file, and of an embedding the name, which may be the word it stands for."""
    path = Path(part.name)
    facts = [part.kind, fingerprint_path(path), part.scale]
    config = path.parent / READ_BESIDE.get(part.kind, "")
    if path.is_file() and config.is_file():
        facts.append(fingerprint_path(config))
    if part.kind == "embedding":
        facts.append(path.stem)
    return facts


def chosen_by(choice: Choice, clip: Path) -> dict[str, Any]:
    files = {"score": fingerprint_path(clip), "aesthetic": choice.aesthetic and fingerprint_path(choice.aesthetic)}
    return {name: value for name, value in {**dataclasses.asdict(choice), **files}.items() if value is not None}


def settled(plan: Plan, folder: Path, records: Sequence[Record]) -> Generator[Event, None, Found]:
    """What of the plan an earlier run has left. Done are pictures that lie there, and those that were not worth keeping.

    As long as candidates that compete with it are missing, nothing is settled for one that was not kept.
    """
    keys = {item.key for item in plan.items}
    found = yield from find_done(folder, records, keys)
    latest = {record.key: record for record in records if record.key in keys}
    rejected = {key: record for key, record in latest.items() if record.status == "rejected"}
    open_choices = {plan.choice_of(item) for item in plan.items if item.key not in found.done and item.key not in rejected}
    closed = {item.key for item in plan.items if plan.choice_of(item) not in open_choices}
    return dataclasses.replace(found, done=found.done | {key: record for key, record in rejected.items() if key in closed})


def kept_otherwise(there: Sequence[Record], has_metadata: bool) -> Iterator[Event]:
    """Says that pictures of an earlier run have metadata that this one would not write, or lack what it would."""
    if others := sum(bool(record.no_metadata) is has_metadata for record in there):
        how, wanted = ("without metadata", "with it") if has_metadata else ("with metadata", "without it")
        message = f"{others} of the {len(there)} pictures that are there already were written {how} and stay so"
        yield Caution(message=message, hint=f"for files {wanted} draw them into another folder: -o FOLDER")


def left_over(plan: Plan, folder: Path, records: Sequence[Record]) -> Iterator[Event]:
    """Says which pictures in the folder were drawn from the same file of prompts for what is no longer in the plan. They stay."""
    origin = plan.items[0].origin
    keys = {item.key for item in plan.items}
    others = [name for name, record in pictures_there(folder, records).items() if record.key not in keys and is_from(record, origin)]
    if others:
        source = source_of(origin)
        message = (
            f"{folder} still holds what earlier runs drew from {source} and this one has no row for: {len(others)} ({shorten(others)})"
        )
        yield Caution(message=message, hint=f"{folder / manifest.NAME} lists them; delete those that you do not want")


def is_from(record: Record, origin: str) -> bool:
    """Whether its row stood in the same file as the one of that origin."""
    return record.origin is not None and source_of(record.origin) == source_of(origin)


def source_of(origin: str) -> Path:
    """The file of "file:line"."""
    return Path(origin.rpartition(":")[0])

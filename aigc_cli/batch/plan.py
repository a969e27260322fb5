"""All pictures of a run, before the first is drawn: each with its request, its seed and an identity."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aigc_cli.batch.matrix import Point
from aigc_cli.batch.prompt_template import Template, combinations, count_combinations
from aigc_cli.batch.rows import MAX_RESULTS, PromptRow
from aigc_cli.batch.wildcards import Wildcards, draw
from aigc_cli.core.errors import UsageError
from aigc_cli.core.image import SEEDS, ImageRequest
from aigc_cli.core.request import check

DEFAULTS = {each.name: each.default for each in dataclasses.fields(ImageRequest)}


@dataclass(frozen=True)
class Item:
    """One picture of a run. index: from 0, in the order of the plan.

    typed: the prompt before anything in it was chosen or drawn.  filename: the one its row asks for.
    origin: "file:line" of its row; empty when the prompt came from the command line.
    key: sha256 in hex of all that decides what is drawn, by which a later run knows it again.
    row, row_seed: of a row without a seed of its own what it asks for, digested, and its first seed: by them it keeps that in later runs.
    """

    index: int
    request: ImageRequest
    key: str
    typed: str
    filename: str | None = None
    origin: str = ""
    row: str | None = None
    row_seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class Common:
    """What the rows share. settings: fields of ImageRequest, which a row's own values replace.  n: pictures of each combination.

    matrix: values for options, one combination after the other; an option that a row or a setting gives too is a contradiction.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    n: int = 1
    matrix: tuple[Point, ...] = ({},)
    wildcards: Wildcards = field(default_factory=Wildcards)

    def __post_init__(self) -> None:
        check("-n", self.n, 1)
        refuse_clash({name: value for name, value in self.settings.items() if value != DEFAULTS[name]}, self.matrix)


def check_row(row: PromptRow, common: Common) -> None:
    """Raises: UsageError for whatever keeps a row from being drawn, as far as it can be told without a model."""
    common.wildcards.check(row.template)
    refuse_clash(row.values, common.matrix)
    for point in common.matrix:
        fields = {"seed": 0, **fields_of(row.values, common, point)}
        ImageRequest(**fields | seeds_of(fields, 0))


def plan_items(
    rows: Sequence[PromptRow],
    common: Common,
    *,
    seed: int,
    identity: Mapping[str, Any],
    earlier: Mapping[str, Collection[int]],
) -> tuple[Item, ...]:
    """Row by row; of each its combinations, for each combination the points of the matrix, for each point its seeds.

    seed: of the run's first row. A row without one of its own takes as many of the seeds that follow as it has pictures of
    each combination, whatever the other rows set for themselves; its combinations and points share them. Bad rows that were left
    out keep theirs, so that mending them changes nothing for the others.
    earlier: the first seeds that rows had in earlier runs, by Item.row; they keep them, wherever they stand now.
    identity: what decides what is drawn besides the requests, such as the model's revision; JSON values.
    Raises: UsageError for more than MAX_RESULTS pictures, and for a picture to begin with that cannot be read.
    """
    templates = [row.template for row in rows]
    total = sum(count_combinations(each) * len(common.matrix) * number_of(row, common) for each, row in zip(templates, rows, strict=True))
    if total > MAX_RESULTS:
        raise UsageError(f"that makes {total:,} pictures, and a run draws {MAX_RESULTS:,} at most", "split the prompts, or lower -n")
    identities = Identities(identity)
    items: list[Item] = []
    contents = [None if "seed" in row.values else identities.row(row, common) for row in rows]
    seeds = seeds_of_rows(contents, seeds_by_place(rows, common, seed), earlier)
    for template, row, content, first in zip(templates, rows, contents, seeds, strict=True):
        filename = row.values.get("filename")
        for request in requests_of(row, template, common, first):
            key = identities.key(request, filename)
            row_seed = None if content is None else first
            items.append(Item(len(items), request, key, row.values["prompt"], filename, row.origin, content, row_seed))
    return tuple(items)


def seeds_by_place(rows: Sequence[PromptRow], common: Common, seed: int) -> list[int]:
    """The first one of each row, in a run that knows of no other. Raises: UsageError for a first one that is out of range."""
    check("--seed", seed, 0, SEEDS - 1)
    seeds: list[int] = []
    for row in rows:
        seed += sum(common.n if number is None else number for number in row.left_out)
        seeds.append(seed % SEEDS)
        seed += number_of(row, common)
    return seeds


def seeds_of_rows(contents: Sequence[str | None], by_place: Sequence[int], earlier: Mapping[str, Collection[int]]) -> list[int]:
    """Each row's first seed: one that a row of the same content had earlier and no other row has now, else that of its place.

    Where the seed of its place is among them, the row has that one. So of equal rows no two have the same seed, and a run
    that is begun again gives the seeds that it gave before, however many of its rows are written down by then.
    contents: Item.row of each; None for a row with a seed of its own.
    """
    places = [*zip(contents, by_place, strict=True)]
    stay = {(content, seed) for content, seed in places if content is not None and seed in earlier.get(content, ())}
    left: dict[str | None, Iterator[int]] = {
        content: iter([seed for seed in seeds if (content, seed) not in stay]) for content, seeds in earlier.items()
    }
    return [seed if (content, seed) in stay else next(left.get(content, iter(())), seed) for content, seed in places]


def requests_of(row: PromptRow, template: Template, common: Common, seed: int) -> Iterator[ImageRequest]:
    for combination in combinations(template):
        for point in common.matrix:
            fields = {"seed": seed, **fields_of(row.values, common, point)}
            for number in range(number_of(row, common)):
                own = seeds_of(fields, number)
                yield ImageRequest(**fields | own | {"prompt": draw(combination, own["seed"], common.wildcards)})


def fields_of(values: Mapping[str, Any], common: Common, point: Point) -> dict[str, Any]:
    """Of the request, as far as they are given."""
    given = {**common.settings, **values, **point}
    return {name: value for name, value in given.items() if name in DEFAULTS}


def seeds_of(fields: Mapping[str, Any], number: int) -> dict[str, int]:
    """Of one of the pictures that differ in their seeds alone, `number` from 0; past the highest they begin anew.

    Variations have the seed of their picture in common and count the other one; it begins with the next where it is not given.
    Raises: UsageError for a first one that is out of range.
    """
    seed, other = fields["seed"], fields.get("variation_seed")
    check("--seed", seed, 0, SEEDS - 1)
    if not fields.get("variation"):
        return {"seed": (seed + number) % SEEDS}
    check("--variation-seed", other, 0, SEEDS - 1)
    return {"seed": seed, "variation_seed": ((seed + 1 if other is None else other) + number) % SEEDS}


def number_of(row: PromptRow, common: Common) -> int:
    """Pictures of each of its combinations."""
    return int(row.values.get("n", common.n))


def refuse_clash(values: Mapping[str, Any], matrix: Sequence[Point]) -> None:
    if twice := next((name for name in matrix[0] if name in values), None):
        raise UsageError(f"--{twice.replace('_', '-')} is given, and --matrix {twice} too", "leave out one of the two")


class Identities:
    """Gives keys. Of equal pictures each has its own, for whoever writes a row twice wants two."""

    def __init__(self, shared: Mapping[str, Any]) -> None:
        self.shared = dict(shared)
        self.seen: Counter[str] = Counter()
        self.contents: dict[Path, str] = {}

    def key(self, request: ImageRequest, filename: str | None) -> str:
        """A picture that is read counts by its content. Raises: UsageError when it cannot be read.

        Defaults are left out: an option that a later version adds changes no key.
        """
        values = {name: self._known(value) for name, value in vars(request).items() if value != DEFAULTS[name]}
        content = digest({"request": values, "filename": filename, "shared": self.shared})
        self.seen[content] += 1
        return digest([content, self.seen[content]])

    def row(self, row: PromptRow, common: Common) -> str:
        """What a row asks for, wherever it stands and whatever the run sets for all of them, but for the pictures that it takes."""
        values = {name: self._known(value) for name, value in row.values.items()}
        return digest(values | {"n": number_of(row, common)})

    def _known(self, value: Any) -> Any:
        if not isinstance(value, Path):
            return value
        if value not in self.contents:
            try:
                with value.open("rb") as file:
                    self.contents[value] = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise UsageError(f"{value}: {(error.strerror or str(error)).lower()}", "check its name and who may read it") from None
        return self.contents[value]


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def groups(items: Sequence[Item], kind: Callable[[ImageRequest], Hashable], batch_size: Callable[[ImageRequest], int]) -> list[list[Item]]:
    """Items of one kind together, as many as run at once, in the order of their first. batch_size: how many that is for a kind.

    To be formed from the whole plan: what a run that is begun again finds done changes no group.
    """
    of_kind: defaultdict[Hashable, list[Item]] = defaultdict(list)
    for item in items:
        of_kind[kind(item.request)].append(item)
    batches: list[list[Item]] = []
    for together in of_kind.values():
        size = batch_size(together[0].request)
        batches += [together[at : at + size] for at in range(0, len(together), size)]
    return sorted(batches, key=lambda batch: batch[0].index)

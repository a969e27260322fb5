"""Looks at all pictures once, before a model is loaded: what is bad is named, what is good is counted and split."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Caution, Event
from aigc_cli.core.sample import Split
from aigc_cli.data.bad_rows import ROWS_SHOWN, BadRow, bad_rows_error, left_out_caution, rejects_file
from aigc_cli.data.find import shortened
from aigc_cli.data.reading import stamp
from aigc_cli.data.row import Row
from aigc_cli.data.split import SplitRule, short_hash
from aigc_cli.data.tally import Tally, tally
from aigc_cli.picture_data.dataset import NamedData, PictureDataset, PictureRow
from aigc_cli.picture_data.entries import Entry, read_entries
from aigc_cli.picture_data.find import Named, find_pictures
from aigc_cli.picture_data.looking import Look, look_at_all
from aigc_cli.picture_data.opening import content_of

FEWEST_TO_SPLIT = 10  # pictures; of fewer none is kept back unless its hash says so
LONGEST_ASPECT = 4  # times the short side


@dataclass(frozen=True, slots=True)
class Good:
    """A picture that can be learnt. split: the one that its path was named for."""

    entry: Entry
    look: Look
    split: Split

    @property
    def hash(self) -> int:
        """Of the pixels alone, so that a picture stays in one split whatever its captions are."""
        return short_hash(self.look.pixels)


def check_pictures(
    paths: Sequence[str], validation: Sequence[str] = (), *, val_split: float, skip_bad: bool = False, rejects: Path | None
) -> Generator[Event, None, PictureDataset]:
    """Progress in pictures, cautions, and in the end the data set.

    val_split: share of the pictures; with paths named for validation it is 0.
    rejects: where bad ones go if they are to be left out; None lists the first twenty instead.
    Raises: UsageError for bad pictures (all counted, the first twenty listed) and for data that cannot be trained on.
    """
    found = find_pictures(paths, validation)
    yield from found.cautions
    entries, cautions = read_entries(found.named)
    yield from cautions
    if not entries:
        raise UsageError(f"there is no picture named in {', '.join(paths)}", "check that it was written to its end")
    looks = yield from look_at_all(entries)
    left_out = yield from leave_out_bad(entries, looks, rejects, skip_bad)
    pairs = zip(entries, looks, strict=True)
    goods = [Good(entry, look, found.named[entry.named].split) for entry, look in pairs if isinstance(look, Look)]
    share = 0.0 if validation else val_split
    counted = count(goods, share)
    refuse_empty(counted, validation)
    yield from remarks(goods, counted, share)
    rows = [row_of(good, counted.rule) for good in goods]
    return PictureDataset(
        files=tuple(named_data(found.named, entries, goods, rows)),
        rows=tuple(rows),
        duplicates=counted.duplicates,
        leaked=counted.leaked,
        left_out=left_out,
        changes=dict(Counter(change for good in goods for change in good.look.changes)),
    )


def leave_out_bad(
    entries: Sequence[Entry], looks: Sequence[Look | str], rejects: Path | None, skip_bad: bool
) -> Generator[Event, None, int]:
    """How many there are. Raises: UsageError listing them if they are not to be left out."""
    bad = [(number, reason(entry, look)) for number, (entry, look) in enumerate(zip(entries, looks, strict=True)) if isinstance(look, str)]
    if not bad:
        return 0
    first = [BadRow(number, entries[number].origin, error) for number, error in bad[:ROWS_SHOWN]]
    if not skip_bad:
        raise bad_rows_error(first, len(bad), len(entries), "be trained on", "pictures")
    if rejects:
        with rejects_file(rejects) as reject:
            for number, error in bad:
                origin = entries[number].origin
                reject(origin.file, Row(origin.line, None, entries[number].raw), error)
    yield left_out_caution(first, len(bad), len(entries), rejects, "pictures")
    return len(bad)


def reason(entry: Entry, error: str) -> str:
    """Without the picture's name where that is told already."""
    if entry.origin.line:
        return error
    return error.removeprefix(f"{entry.path} ").removeprefix("is ")


def count(goods: Sequence[Good], share: float) -> Tally:
    """A share that by chance keeps no picture back takes the one with the lowest hash, if there are pictures enough."""
    train, validation = (array("Q", (good.hash for good in goods if good.split == split)) for split in ("train", "validation"))
    rule = SplitRule.of_shares(share, 0.0)
    counted = tally(train, validation, array("Q"), rule)
    if counted.rule != rule and counted.distinct < FEWEST_TO_SPLIT:
        return tally(train, validation, array("Q"), SplitRule(0, 0))
    return counted


def refuse_empty(counted: Tally, validation: Sequence[str]) -> None:
    """Raises: UsageError when nothing would be left for a split that there should be."""
    if not counted.counts["train"]:
        raise UsageError("no picture is left to train on", "lower --val-split, or add pictures")
    if validation and not counted.counts["validation"]:
        raise UsageError(f"there is no picture to measure on in {', '.join(validation)}", "leave out --validation, or name another folder")


def remarks(goods: Sequence[Good], counted: Tally, share: float) -> Iterator[Caution]:
    if share and not counted.counts["validation"]:
        message = f"of so few pictures ({counted.distinct}) nothing is kept back for validation"
        yield Caution(message=message, hint="--validation FOLDER measures on other pictures")
    elif counted.rule != SplitRule.of_shares(share, 0.0):
        yield Caution(message="no picture fell to the validation split by its hash: the one with the lowest hash was taken")
    if counted.leaked:
        message = f"{counted.leaked} pictures that are trained on are also among those for validation"
        yield Caution(message=message, hint="figures measured there will be better than they should")
    if changes := Counter(change for good in goods for change in good.look.changes):
        listed = ", ".join(f"{change} ({number})" for change, number in changes.items())
        yield Caution(message=f"pictures were changed on opening: {listed}")
    if wordless := sum(not any(good.entry.captions) for good in goods):
        yield Caution(message=f"{wordless} pictures are learnt without words: their captions are empty")
    if long := [good for good in goods if is_long(good.look)]:
        names = shortened([good.entry.origin for good in long])
        message = f"{len(long)} pictures have one side that is more than {LONGEST_ASPECT} times the other: {names}"
        yield Caution(message=message, hint="much of such a picture is cut off: make several of it")


def is_long(look: Look) -> bool:
    return max(look.width, look.height) > LONGEST_ASPECT * min(look.width, look.height)


def row_of(good: Good, rule: SplitRule) -> PictureRow:
    entry, look = good.entry, good.look
    assert entry.path
    return PictureRow(
        origin=entry.origin,
        path=entry.path,
        cell=entry.cell,
        captions=entry.captions,
        width=look.width,
        height=look.height,
        has_alpha=look.has_alpha,
        content=content_of(look.pixels, entry.captions),
        split=rule.split_of(good.hash) if good.split == "train" else good.split,
    )


def named_data(named: Sequence[Named], entries: Sequence[Entry], goods: Sequence[Good], rows: Sequence[PictureRow]) -> Iterator[NamedData]:
    files: list[set[Path]] = [{index.path for index in each.indexes} | set(each.captions.values()) for each in named]
    for entry in entries:
        if entry.path:
            files[entry.named].add(entry.path)
    digests = [hashlib.sha256() for _ in named]
    for good, row in zip(goods, rows, strict=True):
        digests[good.entry.named].update(bytes.fromhex(row.content))
    for each, paths, digest in zip(named, files, digests, strict=True):
        yield NamedData(each.path, digest.hexdigest(), sum(stamp(path)[0] for path in paths), each.split)

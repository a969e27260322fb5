"""What the first pass over the data gathers: a hash for each good row, the first of the bad ones, and counts."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Sequence

from aigc_cli.core.errors import UsageError
from aigc_cli.core.sample import Origin, Sample, Split
from aigc_cli.data.bad_rows import ROWS_SHOWN, BadRow
from aigc_cli.data.formats import KNOWN_FORMATS, LABELS, AnyFormat, UnknownFormatError, listed, sample_of
from aigc_cli.data.row import BadRowError, Row
from aigc_cli.data.split import hash_of

KEYS_KEPT = 1000


class Survey:
    """Grows by 8 bytes for a row. in_file: what each file holds, None standing for bad rows."""

    def __init__(self) -> None:
        self.rows = 0
        self.hashes: defaultdict[tuple[Split, AnyFormat], array[int]] = defaultdict(lambda: array("Q"))
        self.first: defaultdict[AnyFormat, list[tuple[int, Origin]]] = defaultdict(list)  # should it not be the format of all
        self.bad: list[BadRow] = []
        self.in_file: defaultdict[str, set[AnyFormat | None]] = defaultdict(set)
        self.unknown = 0
        self.keys: dict[str, None] = {}

    def add(self, split: Split, file: str, row: Row) -> None:
        self.rows += 1
        found: AnyFormat | None = None
        try:
            found, _, content_hash = parse(row)
        except BadRowError as error:
            self.unknown += isinstance(error, UnknownFormatError)
            if len(self.bad) < ROWS_SHOWN:
                self.bad.append(BadRow(self.rows, Origin(file, row.line, row.number), str(error)))
        else:
            self.hashes[split, found].append(content_hash)
            if len(self.first[found]) < ROWS_SHOWN:
                self.first[found].append((self.rows, Origin(file, row.line, row.number)))
        self.in_file[file].add(found)
        if row.value and not row.value.keys() <= self.keys.keys() and len(self.keys) < KEYS_KEPT:
            self.keys.update(dict.fromkeys(row.value))

    def formats(self, mix: bool) -> tuple[AnyFormat, ...]:
        """The one that most rows of the training files have, of equals the first; with `mix` all there are, but for preference pairs.

        Returns: none when every row is bad.
        Raises: UsageError when no row has a known format, with the keys that were found.
        """
        counts = {found: len(hashes) for (split, found), hashes in self.hashes.items() if split == "train"}
        if not counts and self.unknown:
            raise UsageError(f"no row has a format that is known; the keys that were found: {listed(self.keys)}", KNOWN_FORMATS)
        ranked = sorted(counts, key=lambda found: -counts[found])
        mixed = [found for found in ranked if found != "preference"]
        return tuple(mixed if mix and mixed else ranked[:1])

    def good_hashes(self, split: Split, formats: Sequence[AnyFormat]) -> array[int]:
        return sum((self.hashes[split, found] for found in formats), array("Q"))

    def bad_count(self, formats: Sequence[AnyFormat]) -> int:
        return self.rows - sum(len(hashes) for (_, found), hashes in self.hashes.items() if found in formats)

    def first_bad(self, formats: Sequence[AnyFormat]) -> list[BadRow]:
        """The first bad rows, with those of another format among them."""
        others = [
            BadRow(number, origin, other_format(found, formats))
            for found, rows in self.first.items()
            if formats and found not in formats
            for number, origin in rows
        ]
        return sorted(self.bad + others, key=lambda row: row.number)[:ROWS_SHOWN]

    def files_with_bad(self, formats: Sequence[AnyFormat]) -> set[str]:
        return {file for file, found in self.in_file.items() if found - set(formats)}


def parse(row: Row) -> tuple[AnyFormat, Sample | None, int]:
    """A row's format, its sample and the hash of its content; a preference pair has neither of the two.

    Raises: BadRowError.
    """
    if row.value is None:
        raise BadRowError(row.error)
    found, sample = sample_of(row.value)
    return found, sample, hash_of(sample) if sample else 0


def other_format(found: AnyFormat, formats: Sequence[AnyFormat]) -> str:
    """What is wrong with a row of the format `found`. formats: those that are learnt."""
    return f"this row has {LABELS[found]}, the others have {' or '.join(LABELS[each] for each in formats)}"

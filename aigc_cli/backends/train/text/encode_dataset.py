"""All rows of the data -> a token store for each split, and what there is to say about them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aigc_cli.backends.train.text.encode import Encoded, Encoder
from aigc_cli.backends.train.text.token_store import TokenStoreWriter
from aigc_cli.core.events import Progress
from aigc_cli.core.sample import ChatSample, CompletionSample, Origin, Sample, Split, TextSample

BATCH_ROWS, BATCH_CHARACTERS = 512, 2**20  # tokenised together
EXAMPLES = 20

LabelledRow = tuple[Split, Origin, Sample]


@dataclass(frozen=True)
class SplitStatistics:
    """Of the rows kept: their number, their tokens after the cut, and how many of those are learnt."""

    rows: int = 0
    tokens: int = 0
    trained_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What became of the rows.

    histogram: (upper bound, rows) for lengths up to each power of two, before the cut.  longest: tokens, before the cut.
    cut_rows, cut_tokens: rows longer than the most that is kept, and the tokens lost with it.  split_rows: plain texts
    longer than that, which lose nothing: they are learnt in pieces.
    left_out: rows from which nothing can be learnt.  left_out_examples: the first twenty, (file:line, why).
    cut_away: of those left out, the rows of which the cut took all that is to be learnt.
    """

    splits: Mapping[str, SplitStatistics]
    histogram: tuple[tuple[int, int], ...]
    longest: int
    cut_rows: int
    cut_tokens: int
    split_rows: int
    left_out: int
    left_out_examples: tuple[tuple[str, str], ...]
    cut_away: int

    def to_json(self) -> dict[str, Any]:
        """Plain values, of which `from_json` makes equal statistics."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Statistics:
        """Raises: KeyError or TypeError for what `to_json` did not make."""
        pairs = {name: tuple(tuple(pair) for pair in value[name]) for name in ("histogram", "left_out_examples")}
        return cls(**{**value, **pairs, "splits": {name: SplitStatistics(**split) for name, split in value["splits"].items()}})


@dataclass
class Tally:
    """Statistics while they grow."""

    splits: dict[str, SplitStatistics]
    lengths: Counter[int] = field(default_factory=Counter)  # by the exponent of the power of two
    longest: int = 0
    cut_rows: int = 0
    cut_tokens: int = 0
    split_rows: int = 0
    left_out: int = 0
    examples: list[tuple[str, str]] = field(default_factory=list)
    cut_away: int = 0

    def keep(self, split: Split, encoded: Encoded, pieces: Sequence[Encoded]) -> None:
        so_far = self.splits[split]
        self.splits[split] = SplitStatistics(
            so_far.rows + 1,
            so_far.tokens + sum(len(piece.ids) for piece in pieces),
            so_far.trained_tokens + sum(encoded.trained),
        )
        self.lengths[(encoded.length - 1).bit_length()] += 1
        self.longest = max(self.longest, encoded.length)
        lost = encoded.length - len(encoded.ids)
        self.cut_rows += lost > 0
        self.cut_tokens += lost
        self.split_rows += len(pieces) > 1

    def leave_out(self, origin: Origin, encoded: Encoded) -> None:
        self.left_out += 1
        self.cut_away += encoded.is_cut_away
        if len(self.examples) < EXAMPLES:
            self.examples.append((str(origin), encoded.left_out))

    def statistics(self) -> Statistics:
        return Statistics(
            splits=dict(self.splits),
            histogram=tuple((2**exponent, rows) for exponent, rows in sorted(self.lengths.items())),
            longest=self.longest,
            cut_rows=self.cut_rows,
            cut_tokens=self.cut_tokens,
            split_rows=self.split_rows,
            left_out=self.left_out,
            left_out_examples=tuple(self.examples),
            cut_away=self.cut_away,
        )


def encode_dataset(
    rows: Iterable[LabelledRow], encoder: Encoder, folders: Mapping[Split, Path], files: Sequence[str]
) -> Generator[Progress, None, Statistics]:
    """Fills a token store for each of `folders`; rows of other splits are an error. Progress is in rows.

    files: every file that an origin may name. Closed or interrupted before its end, it leaves no complete store behind.
    Raises: UsageError where the mode asked for does not suit the data; OSError.
    """
    numbers = {name: number for number, name in enumerate(files)}
    tally = Tally({split: SplitStatistics() for split in folders})
    done = 0
    with ExitStack() as stack:
        writers = {split: stack.enter_context(TokenStoreWriter(folder, files)) for split, folder in folders.items()}
        for batch in batches(rows):
            for (split, origin, _), encoded in zip(batch, encoder.encode([sample for *_, sample in batch]), strict=True):
                if encoded.left_out:
                    tally.leave_out(origin, encoded)
                    continue
                pieces = encoded.windows(encoder.max_length)
                for piece in pieces:
                    writers[split].add(piece, numbers[origin.file], origin.line, origin.row)
                tally.keep(split, encoded, pieces)
            done += len(batch)
            yield Progress(phase="tokenizing", done=done, unit="rows")
    return tally.statistics()


def batches(rows: Iterable[LabelledRow]) -> Iterator[list[LabelledRow]]:
    """In order, so many together that the tokenizer has enough to do and memory stays flat."""
    batch: list[LabelledRow] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += characters(row[2])
        if len(batch) == BATCH_ROWS or size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def characters(sample: Sample) -> int:
    match sample:
        case TextSample(text=text):
            return len(text)
        case CompletionSample(prompt=prompt, completion=completion):
            return len(prompt) + len(completion)
        case ChatSample(turns=turns):
            return sum(len(turn.content) for turn in turns)

"""From the hashes of all rows: how many fall into each split, which are equal, which leak."""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from aigc_cli.core.sample import Split
from aigc_cli.data.split import SplitRule


@dataclass(frozen=True)
class Tally:
    """distinct, duplicates: of the rows of the training files.  rule: as it was, unless it had to be widened."""

    rule: SplitRule
    counts: dict[Split, int]
    distinct: int
    duplicates: int
    leaked: int


def tally(train: array[int], validation: array[int], test: array[int], rule: SplitRule) -> Tally:
    """The arguments are the rows of the files that were named for each split; `rule` keeps back of the first.

    A rule that should keep rows back for validation, and by chance keeps none of several different ones, is widened
    to the lowest hash.
    """
    import numpy as np

    ordered = np.sort(np.asarray(train))
    distinct = 1 + int(np.count_nonzero(ordered[1:] != ordered[:-1]))
    if rule.validation and distinct > 1 and ordered[0] >= rule.validation:
        lowest = int(ordered[0])
        rule = SplitRule(lowest + 1, max(rule.test, lowest + 1))
    kept_back, not_trained = (int(np.searchsorted(ordered, np.uint64(limit))) for limit in (rule.validation, rule.test))
    held = np.concatenate([np.asarray(validation), np.asarray(test)])
    counts: dict[Split, int] = {
        "train": len(ordered) - not_trained,
        "validation": kept_back + len(validation),
        "test": not_trained - kept_back + len(test),
    }
    leaked = int(np.count_nonzero(np.isin(ordered[not_trained:], held)))
    return Tally(rule, counts, distinct, len(ordered) - distinct, leaked)

"""Reads all data once, before a model is loaded: what is bad is named with its line, what is good is counted and split."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import cast

from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Caution, Event
from aigc_cli.core.sample import RowFormat, Split
from aigc_cli.data.bad_rows import bad_rows_error, left_out_caution
from aigc_cli.data.dataset import CheckedFile, Dataset
from aigc_cli.data.find import find_files
from aigc_cli.data.formats import NEGLECTED, AnyFormat
from aigc_cli.data.reading import Pass
from aigc_cli.data.rejects import write_rejects
from aigc_cli.data.split import SplitRule
from aigc_cli.data.survey import Survey
from aigc_cli.data.tally import Tally, tally

SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def check(
    paths: Sequence[str],
    validation: Sequence[str] = (),
    test: Sequence[str] = (),
    *,
    val_split: float,
    test_split: float = 0.0,
    skip_bad: bool = False,
    mix: bool = False,
    rejects: Path | None,
) -> Generator[Event, None, Dataset]:
    """Progress in bytes, cautions, and in the end the data set.

    val_split, test_split: shares of the rows; with files named for a split its share is 0.
    mix: rows of several formats are learnt together; without it, those that do not have the format of most are bad.
    rejects: where bad rows go if they are to be left out; None lists the first twenty instead.
    Raises: UsageError for bad rows (all counted, the first twenty listed) and for data that cannot be trained on.
    """
    found = find_files(paths, validation, test)
    yield from found.cautions
    reader, survey = Pass(found.files), Survey()
    for split, file, row in reader.rows():
        survey.add(split, file, row)
        if reader.is_news:
            yield reader.progress("checking the data")
    yield reader.progress("checking the data")
    formats = usable_formats(survey, paths, mix)
    left_out = survey.bad_count(formats)
    if left_out and not skip_bad:
        raise bad_rows(survey, formats)
    if left_out and rejects:
        yield from write_rejects(rejects, found.files, survey.files_with_bad(formats), formats)
    if left_out:
        yield left_out_caution(survey.first_bad(formats), left_out, survey.rows, rejects)
    rule = SplitRule.of_shares(0.0 if validation else val_split, 0.0 if test else test_split)
    train, for_validation, for_test = (survey.good_hashes(split, formats) for split in SPLITS)
    counted = tally(train, for_validation, for_test, rule)
    refuse_empty(counted, validation, test)
    yield from remarks(survey, counted, rule, reader)
    return Dataset(
        files={split: tuple(map(CheckedFile.of, readings)) for split, readings in reader.readings.items()},
        rule=counted.rule,
        formats=formats,
        counts=counted.counts,
        duplicates=counted.duplicates,
        leaked=counted.leaked,
        left_out=left_out,
    )


def usable_formats(survey: Survey, paths: Sequence[str], mix: bool) -> tuple[RowFormat, ...]:
    """Raises: UsageError when the training files have no row, no good one, or preference pairs."""
    found = survey.formats(mix)
    if "preference" in found:
        message = "these are preference pairs (chosen and rejected), which aigc finetune does not train on yet"
        raise UsageError(message, "to train on the chosen answers, write them as prompt and completion")
    if found:
        return cast("tuple[RowFormat, ...]", found)
    if survey.bad:
        raise bad_rows(survey, ())
    raise UsageError(f"there is no row in {', '.join(paths)}", "check that it was written to its end")


def bad_rows(survey: Survey, formats: Sequence[AnyFormat]) -> UsageError:
    error = bad_rows_error(survey.first_bad(formats), survey.bad_count(formats), survey.rows, "be trained on")
    if len(survey.formats(mix=True)) > len(formats):
        return UsageError(error.message, f"{error.hint}; --mix learns rows of several formats together")
    return error


def refuse_empty(counted: Tally, validation: Sequence[str], test: Sequence[str]) -> None:
    """Raises: UsageError when nothing would be left for a split that there should be."""
    if not counted.counts["train"]:
        raise UsageError("no row is left to train on", "lower --val-split and --test-split, or add rows")
    for split, names in (("validation", validation), ("test", test)):
        if names and not counted.counts[split]:  # type: ignore[index]
            raise UsageError(f"there is no row to measure on in {', '.join(names)}", f"leave out --{split}, or name another file")


def remarks(survey: Survey, counted: Tally, rule: SplitRule, reader: Pass) -> Iterator[Caution]:
    for readings in reader.readings.values():
        for reading in readings:
            if str(reading.file.path) not in survey.in_file:
                yield Caution(message=f"{reading.file.path} holds no row")
    if rule.validation and counted.distinct == 1:
        what = "there is one row" if not counted.duplicates else "all rows are the same"
        yield Caution(message=f"{what}: nothing is kept back for validation", hint="--validation FILE measures on rows of another file")
    elif counted.rule != rule:
        yield Caution(message="no row fell to the validation split by its hash: the one with the lowest hash was taken")
    if rule.test > rule.validation and not counted.counts["test"]:
        yield Caution(message="no row fell to the test split by its hash", hint="raise --test-split, or name a file with --test")
    if counted.leaked:
        message = f"{counted.leaked} rows that are trained on also stand in the files for validation or test"
        yield Caution(message=message, hint="figures measured there will be better than they should")
    if neglected := [key for key in NEGLECTED if key in survey.keys]:
        message = f"not used: {', '.join(neglected)} beside the messages or prompts of a row"
        yield Caution(message=message, hint="a system prompt belongs into the messages")

"""A file of prompts, read whole and checked row by row before anything is loaded."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Generator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from aigc_cli.batch.columns import Column, count, made, told
from aigc_cli.batch.prompt_template import Template, parse
from aigc_cli.batch.source import no_column, open_prompts, spelled
from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Caution, Remark
from aigc_cli.core.sample import Origin
from aigc_cli.data.bad_rows import ROWS_SHOWN, BadRow, bad_rows_error, bad_rows_listed, rejects_file
from aigc_cli.data.row import BadRowError, Row

REASONS_SHOWN = 5  # of rows that are left out; a run that they stop shows more
MAX_RESULTS = 100_000  # of one run: more is a slip of the pen, such as a zero too many after -n


@dataclass(frozen=True, slots=True)
class PromptRow:
    """What was given for one prompt: `prompt`, and what else it sets for itself.

    origin: "file:line"; empty for the prompt of the command line.
    is_literal: nothing in the prompt is to be chosen or drawn, as in one that was spelled out before.
    left_out: of the bad rows right before it, how many pictures each wanted, None where it did not say: they keep their seeds.
    """

    values: Mapping[str, Any]
    origin: str = ""
    is_literal: bool = False
    left_out: tuple[int | None, ...] = ()

    @property
    def template(self) -> Template:
        """Raises: UsageError as parse."""
        prompt = self.values["prompt"]
        return Template((prompt,)) if self.is_literal else parse(prompt)


def read_rows(
    source: str,
    columns: Mapping[str, Column],
    *,
    check: Callable[[PromptRow], None] = lambda row: None,
    rejects: Path | None = None,
    stdin: BinaryIO | None = None,
) -> Generator[Caution | Remark, None, tuple[PromptRow, ...]]:
    """The rows of a .txt, .csv, .tsv, .json or .jsonl file, of a pipe, or of stdin, which is named "-".

    columns: those there may be, each with what makes a value of a cell. An empty cell of a table and JSON's null mean "not given".
    check: raises UsageError where the values of a row do not go together.
    rejects: bad rows are written to this file and left out; without it they are an error.
    Raises: UsageError for bad rows (all counted, the first twenty listed) and for a file that cannot be read, or has no good row.
    """
    good: list[PromptRow] = []
    first: list[BadRow] = []
    rows = bad = 0
    left_out: tuple[int | None, ...] = ()
    with open_prompts(source, columns, stdin) as prompts, rejects_file(rejects) if rejects else nullcontext() as reject:
        for rows, row in enumerate(prompts.rows(columns), 1):
            try:
                prompt = PromptRow(values_of(row, columns), f"{prompts.name}:{row.line}")
                check(prompt)
            except (BadRowError, UsageError) as error:
                bad += 1
                left_out += (wanted(row),)
                message = str(error) if isinstance(error, BadRowError) else of_columns(told(error), columns)
                if len(first) < ROWS_SHOWN:
                    first.append(BadRow(rows, Origin(prompts.name, row.line), message))
                if reject:
                    reject(prompts.name, row, message)
            else:
                if len(good) < MAX_RESULTS:
                    good.append(replace(prompt, left_out=left_out))
                left_out = ()
    if bad and not (rejects and good):
        raise bad_rows_error(first, bad, rows, "be used")
    if rows - bad > MAX_RESULTS:
        raise UsageError(f"{prompts.name} holds {rows - bad:,} prompts, and a run takes {MAX_RESULTS:,} at most", "split the file")
    comments = prompts.source.comments
    if not good:
        hint = "lines that begin with # are no prompts" if comments else "check that it was written to its end"
        raise UsageError(f"{prompts.name} holds no prompt", hint)
    if comments:
        are = "s that begin with # are" if comments > 1 else " that begins with # is"
        yield Remark(message=f"{prompts.name}: {comments} line{are} left out")
    if bad:
        listed = bad_rows_listed(first[:REASONS_SHOWN], bad)
        yield Caution(message=f"{bad} of {rows} rows are bad and left out\n{listed}", hint=f"they are in {rejects}, with what is wrong")
    return tuple(good)


def wanted(row: Row) -> int | None:
    """How many pictures a row asks for that is bad for some other reason."""
    try:
        return count(row.value["n"]) if row.value else None
    except (KeyError, TypeError, ValueError):
        return None


def values_of(row: Row, columns: Mapping[str, Column]) -> dict[str, Any]:
    """Raises: BadRowError naming the column."""
    if row.value is None:
        raise BadRowError(row.error)
    if (offset := row.raw.find(b"\0")) >= 0:
        raise BadRowError(f"a NUL byte at byte {offset} of the row")
    values: dict[str, Any] = {}
    for written, cell in row.value.items():
        name = spelled(written)
        if name not in columns:
            raise BadRowError(no_column(name, columns))
        if name in values:
            raise BadRowError(f"{name}: given twice, in two spellings")
        if cell is not None:
            values[name] = made(name, cell, columns[name])
    if "prompt" not in values:
        raise BadRowError("prompt: not given")
    return values


def of_columns(message: str, columns: Collection[str]) -> str:
    """What is said of options, said of columns: "--guidance-scale must be ..." is "guidance_scale must be ..."."""

    def name(flag: re.Match[str]) -> str:
        return spelled(flag[0]) if spelled(flag[0]) in columns else flag[0]

    return re.sub("--[a-z-]+", name, message)

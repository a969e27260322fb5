"""Pictures that cannot be used, told together."""

from __future__ import annotations

from collections.abc import Sequence

from aigc_cli.core.errors import UsageError
from aigc_cli.data.bad_rows import ROWS_SHOWN


def bad_pictures_error(bad: Sequence[UsageError], count: int, cannot: str, hint: str) -> UsageError:
    """Of `count` pictures these are bad, and the first are listed. cannot: what they are no good for, "be made larger"."""
    if count == 1:
        return bad[0]
    return UsageError(f"{len(bad)} of {count} pictures cannot {cannot}\n{listed(bad)}", hint)


def listed(bad: Sequence[UsageError]) -> str:
    """A line for each of the first, and one that counts the others."""
    more = len(bad) - ROWS_SHOWN
    return "\n".join([*(error.message for error in bad[:ROWS_SHOWN]), *([f"... and {more} more"] if more > 0 else [])])

"""What somebody who mistyped a name may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


def nearest(name: str, names: Sequence[str]) -> str:
    """A hint with the names that are most like this one; empty where none is."""
    by_folded = {known.casefold(): known for known in reversed(names)}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(by_folded[match] for match in close)}?" if close else ""

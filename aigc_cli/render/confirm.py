"""Questions to the user, on stderr."""

from __future__ import annotations

import sys

from aigc_cli.core.engine import Confirm
from aigc_cli.render.sanitize import sanitize


def terminal_confirm() -> Confirm | None:
    """Asks a yes-or-no question; None where nobody sits at a terminal to answer it."""
    return ask if sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty() else None


def ask(question: str) -> bool:
    """No answer, as at Ctrl-D, is a no."""
    sys.stderr.write(f"{sanitize(question)} [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        sys.stderr.write("\n")
    return answer.strip().casefold() in ("y", "yes")

"""Questions to the user, on stderr."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import TextIO

from aigc_cli.core.engine import Confirm
from aigc_cli.render.sanitize import sanitize

TERMINAL = "/dev/tty"  # the one that the process was started from


def terminal_confirm() -> Confirm | None:
    """Asks a yes-or-no question; None where nobody sits at a terminal to answer it."""
    if not sys.stderr.isatty():
        return None
    try:
        with keyboard():
            return ask
    except OSError:  # no such terminal, as in a job of cron, or no such file, as on Windows
        return None


def keyboard() -> AbstractContextManager[TextIO]:
    """Where a person types: stdin, or behind its back the terminal when something is piped in. Raises: OSError."""
    if sys.stdin is not None and sys.stdin.isatty():
        return nullcontext(sys.stdin)
    return open(TERMINAL, errors="replace")


def ask(question: str) -> bool:
    """No answer, as at Ctrl-D, is a no."""
    sys.stderr.write(f"{sanitize(question)} [y/N] ")
    sys.stderr.flush()
    with keyboard() as answers:
        answer = answers.readline()
    if not answer.endswith("\n"):
        sys.stderr.write("\n")
    return answer.strip().casefold() in ("y", "yes")

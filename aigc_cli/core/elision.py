"""Names in messages, of which nobody reads three hundred characters."""

from __future__ import annotations

import re

LONGEST = 80  # characters of a part of a path that are shown; its beginning and its end stay
HEAD, TAIL = 50, 20
LONG_PART = re.compile(rf"[^/\\]{{{LONGEST + 1},}}")


def elided(name: object) -> str:
    """A name or a path with what is too long in it cut in the middle."""
    return LONG_PART.sub(lambda match: f"{match[0][:HEAD]}…{match[0][-TAIL:]}", str(name))

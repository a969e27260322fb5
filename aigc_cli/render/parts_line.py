"""A line of facts that gives up the less important ones where the terminal is narrow, behind a bar where there is room for one."""

from __future__ import annotations

from collections.abc import Sequence

LONGEST_BAR, SHORTEST_BAR = 24, 8  # cells


def parts_line(parts: Sequence[tuple[str, int]], share: float, width: int, shortest: str) -> str:
    """As many of the parts as fit into so many cells. parts: each with its importance.  share: of the bar that is filled.

    shortest: what stands there when not even the most important ones fit; it is cut.
    """
    line = shortest[:width]
    for least in sorted(importance for _, importance in parts)[:-1]:
        longer = " · ".join(text for text, importance in parts if importance >= least)
        if len(longer) <= width:
            line = longer
            break
    room = min(LONGEST_BAR, width - len(line) - 1)
    filled = round(room * share)
    return f"{'━' * filled}{'╌' * (room - filled)} {line}" if room >= SHORTEST_BAR else line

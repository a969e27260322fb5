"""Numbers as people read them."""

from __future__ import annotations


def format_size(size: float) -> str:
    """Bytes, in powers of 1024."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def format_count(count: float) -> str:
    """How many, in thousands (K), millions (M) or billions (B), as model cards write it."""
    for unit in ("", "K", "M", "B"):
        if abs(count) < 1000 or unit == "B":
            break
        count /= 1000
    return f"{count:.0f}" if not unit else f"{count:.3g}{unit}"


def format_duration(seconds: float) -> str:
    """The two biggest units: 8 s, 2 min 05 s, 3 h 20 min, 4 d 06 h."""
    if round(seconds) < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours < 24 else f"{hours // 24} d {hours % 24:02} h"

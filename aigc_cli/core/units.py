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

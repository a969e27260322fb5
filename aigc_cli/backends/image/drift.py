"""What steps that reuse earlier ones are off by, as far as the whole steps tell that follow them."""

from __future__ import annotations

from typing import Any

import torch


class Drift:
    """Compares what was reused last with what the next whole step has in its place: the length of the difference, relative to the latter.

    It says nothing of the picture, but costs nothing either: the numbers are there, and wait on the device until they are asked for.
    """

    def __init__(self) -> None:
        self.shares: list[torch.Tensor] = []

    def compare(self, reused: Any, fresh: Any) -> None:
        """Tensors of one shape, or pairs of them, of which some may be None."""
        if isinstance(fresh, tuple):
            for before, now in zip(reused, fresh, strict=True):
                self.compare(before, now)
        elif fresh is not None:
            self.shares.append((fresh - reused).float().norm() / fresh.float().norm())

    def mean(self) -> float | None:
        """Over the whole steps so far; None before there was a second one."""
        return float(torch.stack(self.shares).mean()) if self.shares else None

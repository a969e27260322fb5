"""Every generator of random numbers that training may draw from, as one value."""

from __future__ import annotations

import random
from typing import Any, cast

import numpy
import torch


def capture(device: str) -> dict[str, Any]:
    """Plain values and tensors, which torch's restricted loader reads back. Of GPUs that of `device` alone is asked."""
    name, keys, *rest = cast(tuple[Any, ...], numpy.random.get_state())
    return {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(keys.astype("int64")), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.startswith("cuda") else None,
        "mps": torch.mps.get_rng_state() if device == "mps" else None,
    }


def restore(states: dict[str, Any], device: str) -> None:
    """device: of the same kind as when they were captured; its number may be another."""
    random.setstate(states["python"])
    name, keys, *rest = states["numpy"]
    numpy.random.set_state((name, keys.numpy().astype("uint32"), *rest))
    torch.set_rng_state(states["torch"])
    if states["cuda"] is not None:
        torch.cuda.set_rng_state(states["cuda"], device)
    if states["mps"] is not None:
        torch.mps.set_rng_state(states["mps"])

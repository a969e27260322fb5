"""Does a model fit into a device's memory, in which number format, and with how much context? Pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aigc_cli.core.engine import Dtype
from aigc_cli.models.facts import Facts

NUMBER_BYTES = {Dtype.FLOAT32: 4, Dtype.BFLOAT16: 2, Dtype.FLOAT16: 2}
RUNTIME = 512 * 2**20  # bytes: 354 MiB of Python with torch and transformers, measured, and room for activations
CONTEXT = 1024  # tokens that must fit for a model to be of use


@dataclass(frozen=True)
class Memory:
    """A device's memory. dtypes: the formats it computes in, the best first."""

    device: str
    free: int
    dtypes: tuple[str, ...]


@dataclass(frozen=True)
class Fit:
    """What a model takes on a device in a format, in bytes; kv_cache is for each 1,024 tokens, None where unknown.

    context: how many tokens there is room for, at most what the model was made for; None where unknown.
    """

    device: str
    dtype: str
    free: int
    weights: int
    kv_cache: int | None
    fits: bool
    context: int | None


def fit(parameters: int, facts: Facts, memory: Memory, dtype: str) -> Fit:
    """Weights are counted in the format that they are computed in, whatever it is on disk."""
    number = NUMBER_BYTES[Dtype(dtype)]
    weights = parameters * number
    room = memory.free - RUNTIME - weights
    if not facts.kv_numbers:
        return Fit(memory.device, dtype, memory.free, weights, None, room > 0, None)
    per_token = facts.kv_numbers * number
    tokens = max(0, room // per_token)
    context = min(tokens, facts.context_length) if facts.context_length else tokens
    wanted = min(CONTEXT, facts.context_length or CONTEXT)
    return Fit(memory.device, dtype, memory.free, weights, per_token * CONTEXT, room > 0 and context >= wanted, context)


def fits(parameters: int, facts: Facts, memories: Iterable[Memory]) -> list[Fit]:
    """Every device in every format, the best first."""
    return [fit(parameters, facts, memory, dtype) for memory in memories for dtype in memory.dtypes]

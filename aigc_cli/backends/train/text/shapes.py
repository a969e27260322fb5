"""Lengths that many batches share.

Every new shape of a matrix product costs a kernel that is compiled for it, and leaves its hole among the memory that is
used again: with 8 rows of 150 to 256 tokens, a model of 2M parameters took 930 MiB after 50 steps, and 780 with such lengths.
"""

from __future__ import annotations

SMALLEST_STEP = 8  # tokens
STEPS_PER_OCTAVE = 8  # so that of lengths above 64 no more than an eighth is filled up, and half of that on average


def shared_length(length: int, limit: int) -> int:
    """`length` rounded up: below 64 to whole eights, above to one of eight between two powers of two.

    Not beyond `limit`, where that holds it.
    """
    step = max(SMALLEST_STEP, (1 << (length - 1).bit_length()) // (2 * STEPS_PER_OCTAVE))
    return max(length, min(-(-length // step) * step, limit))

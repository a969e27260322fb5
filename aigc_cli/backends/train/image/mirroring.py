"""Which pictures may be mirrored: none whose caption would then be wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence

# a side, or something to read
ENGLISH = re.compile(
    r"\b(left|right|(anti|counter)?clockwise|text|letters?|words?|numbers?|digits?|alphabet|writing|written|calligraphy|sign|logo)\b",
    re.IGNORECASE,
)
CHINESE = re.compile("[左右字词数]|顺时针|逆时针|书法|标志|招牌")
QUOTED = re.compile(r"[\"“”「『《].+?[\"“”」』》]")


def can_be_mirrored(captions: Sequence[str]) -> bool:
    return not any(pattern.search(caption) for caption in captions for pattern in (ENGLISH, CHINESE, QUOTED))

"""How many cells text takes on a terminal, and where a line of it may end.

A cell is a column; Chinese characters and emoji take two. Text is counted by grapheme cluster (what a reader calls
one character), for an accent or a joined emoji has no place of its own.
"""

from __future__ import annotations

import regex
from wcwidth import wcswidth

CLUSTER = regex.compile(r"\X")
STYLING = regex.compile(r"\x1b\[[0-9;]*m")

# Line breaking after JIS X 4051 and GB/T 15834: these do not begin a line ...
CLOSING = frozenset(
    "，。、；：？！）》〉」』】〕〗〙〛｝］＞”’…—～·‧・‰％℃々〻ゝゞヽヾーぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ,.;:?!)]}>%\"'"
)
OPENING = frozenset("（《〈「『【〔〖〘〚｛［＜“‘￥＄([{<$\"'")  # ... and these do not end one


def cluster_cells(cluster: str) -> int:
    """Cells of one grapheme cluster: 0, 1 or 2."""
    return 1 if cluster.isascii() else min(2, max(0, wcswidth(cluster)))


def cells(text: str) -> int:
    """Cells of a line of text, which may hold colours."""
    text = STYLING.sub("", text)
    return len(text) if text.isascii() else sum(map(cluster_cells, CLUSTER.findall(text)))


def clip(text: str, limit: int) -> str:
    """The beginning of the text that fits into so many cells."""
    used = 0
    for cluster in CLUSTER.finditer(text):
        used += cluster_cells(cluster[0])
        if used > limit:
            return text[: cluster.start()]
    return text


def one_line(text: str, width: int = 60) -> str:
    """The text without its line breaks; of a long one the beginning, in at most so many cells."""
    line = " ".join(text[: 4 * width].split())  # a text may be a whole book
    return line if cells(line) <= width else clip(line, width - 1) + "…"


def extends(cluster: str, char: str) -> bool:
    """Whether the character belongs to the cluster before it: an accent, a modifier, the next part of an emoji."""
    return not char.isascii() and CLUSTER.match(cluster + char).end() == len(cluster) + 1


def may_break(before: str, after: str) -> bool:
    """Whether a line may end between two clusters that no space parts: beside a wide one, but for punctuation."""
    return (cluster_cells(before) == 2 or cluster_cells(after) == 2) and after not in CLOSING and before not in OPENING

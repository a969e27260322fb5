"""What a line of Markdown is, told from as few of its first characters as possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import regex

from aigc_cli.render.width import cells
from aigc_cli.render.wrap import DIM, Span

# How a line may begin, after its indentation; the first that matches wins. Where a pattern needs the whole line, up to
# its newline, partial matching says so.
BLOCKS = {
    "blank": regex.compile(r"\n"),
    "fence": regex.compile(r"(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>[^`\n]*)\n"),
    "heading": regex.compile(r"#{1,6}[ \t]+(?=\S)"),
    "rule": regex.compile(r"([-*_])[ \t]*(?:\1[ \t]*){2,}\n"),
    "quote": regex.compile(r"> ?"),
    "item": regex.compile(r"(?P<marker>[-*+]|\d{1,9}[.)])(?:[ \t]+(?=\S)|(?=[ \t]*\n))"),
    "row": regex.compile(r"\|[^\n]*\n"),
    "latex": regex.compile(r"(?:\$\$(?![^\n]*\$\$)|\\\[(?![^\n]*\\\]))[^\n]*\n"),
}
TEXT = regex.compile("")
CODE = regex.compile(r"[^\n]*\n")
QUOTE_MARK = regex.compile(r"[ \t]*> ?")
BULLETS = "•◦▪"
DEEPEST = 10  # quotes and lists within each other; what goes deeper is text
MOST_ITEMS = 2  # that one line begins; a narrow terminal could not show more markers side by side


@dataclass(frozen=True)
class Container:
    """A quote, or an item of a list. Columns count from the innermost quote's mark."""

    label: str  # a bar or a marker
    column: int = 0  # where an item's marker stands
    content: int = 0  # where its text begins
    is_quote: bool = False

    @property
    def first(self) -> Span:
        """What is drawn before its first line."""
        return (self.label, DIM if self.is_quote else "")

    @property
    def rest(self) -> Span:
        """What is drawn before its other lines."""
        return self.first if self.is_quote else (" " * cells(self.label), "")


@dataclass(frozen=True)
class LineStart:
    """kind: a key of BLOCKS, "code" (indented) or "text".  outer: the containers that the line is in already.

    opened: those that it begins.  text: the line from there on, behind its indentation.  indent: its width in columns.
    """

    kind: str
    match: regex.Match[str]
    outer: tuple[Container, ...]
    opened: tuple[Container, ...]
    text: str
    indent: int


def read_start(line: str, containers: Sequence[Container], previous: str) -> LineStart | None:
    """Settles what a line is, or returns None while its beginning, without a newline, might become several things.

    previous: the kind of the line before; code that is only indented cannot follow text directly.
    """
    outer, text = enter(line, containers)
    opened: list[Container] = []
    at = 0  # behind the last item's marker
    while True:
        start = at + indentation(text[at:])
        kind, match = classify(text, start)
        if match.partial:
            return None
        if kind not in ("quote", "item"):
            break
        if len(outer) + len(opened) >= DEEPEST or sum(not container.is_quote for container in opened) >= MOST_ITEMS:
            kind = "text"
            break
        at = match.end()
        if kind == "quote":
            text, at = text[at:], 0
            opened.append(Container("│ ", is_quote=True))
        else:
            opened.append(Container(item_label(match["marker"], [*outer, *opened]), start, at))
    if kind == "text" and not opened and previous != "text" and start - (outer[-1].content if outer else 0) >= 4:
        kind, match = "code", CODE.match(text, partial=not text.endswith("\n"))
        if match.partial:
            return None
    return LineStart(kind, match, tuple(outer), tuple(opened), text[start:], start)


def enter(line: str, containers: Sequence[Container]) -> tuple[list[Container], str]:
    """The open containers that a line belongs to, and the line behind its last quote's mark.

    More lenient than CommonMark: two columns make a nested item, whatever its parent's marker, for models count so.
    """
    line = expand_tabs(line)
    entered = []
    for container in containers:
        if container.is_quote:
            if not (mark := QUOTE_MARK.match(line)):
                break
            line = expand_tabs(line[mark.end() :])
        elif line.strip() and indentation(line) < container.column + 2:
            break
        entered.append(container)
    return entered, line


def classify(text: str, start: int) -> tuple[str, regex.Match[str]]:
    """The first kind that the text is from there on, or may still become (then the match is partial)."""
    for kind, pattern in BLOCKS.items():
        if match := pattern.match(text, start, partial=not text.endswith("\n")):
            return kind, match
    return "text", TEXT.match(text, start)


def item_label(marker: str, around: Sequence[Container]) -> str:
    if marker[0].isdigit():
        return f"{marker} "
    level = sum(container.label[0] in BULLETS for container in around)
    return BULLETS[level % len(BULLETS)] + " "


def indentation(line: str) -> int:
    return len(line) - len(line.lstrip(" \t"))


def expand_tabs(line: str) -> str:
    """With the tabs of its indentation as spaces."""
    width = indentation(line)
    return line[:width].expandtabs(4) + line[width:]

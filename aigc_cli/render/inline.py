"""Emphasis, code and links within a paragraph, while it streams.

A marker is held back until its partner shows that it is one. If that takes too long, or the paragraph ends first, it
is shown as it stands; only bold, which models use for whole sentences, then begins without waiting any longer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import regex

from aigc_cli.render.wrap import BOLD, CYAN, DIM, ITALIC, STRIKE, UNDERLINE, Span, join_styles

Show = Callable[["regex.Match[str]", str], list[Span]]  # how a match looks within a style

LONGEST = 120  # characters that a marker waits for its partner; a link's address may be longer

PLAIN = regex.compile(r"[^\\`*_~\[!$]+")
RUN = regex.compile(r"([\\`*_~$])\1*|.", regex.DOTALL)
OUTSIDE_WORD = r"(?:(?<![A-Za-z0-9])|(?={0}[^A-Za-z0-9]))"  # 2*3*4 and 2**8 are not emphasis; between Chinese characters is fine
PART = r"(?:`[^`]{1,120}`|\\.|[^`\\\s])"


def between(marker: str, part: str = PART) -> str:
    """The pattern of a text between two markers, neither of which has a space on its inside."""
    return rf"{marker}(?=[^\s{marker[-1]}])(?P<inner>(?:\s*{part}){{1,{LONGEST}}}?){marker}"


EMPHASIS = [
    (OUTSIDE_WORD.format(r"\*\*\*") + between(r"\*\*\*") + r"(?!\*)", join_styles(BOLD, ITALIC)),
    (OUTSIDE_WORD.format(r"\*\*") + between(r"\*\*") + r"(?!\*)", BOLD),
    (OUTSIDE_WORD.format(r"\*") + between(r"\*", r"(?:`[^`]{1,120}`|\\.|\*\*[^*]{1,120}\*\*|[^*`\\\s])") + r"(?!\*)", ITALIC),
    (r"(?<!\w)(?!__[a-z0-9_]+__)" + between("__") + r"(?!\w)", BOLD),  # __init__ is a name
    (r"(?<!\w)" + between("_") + r"(?!\w)", ITALIC),
    (between("~~"), STRIKE),
]
OPEN_BOLD = regex.compile(OUTSIDE_WORD.format(r"\*\*") + r"\*\*(?=[^\s*])")
CODE = regex.compile(rf"(`+)(?!`)(?P<inner>(?:[^`]|`+(?!`)){{1,{LONGEST}}}?)\1(?!`)")
LINK = regex.compile(
    r"!?\[(?P<inner>(?:\\.|`[^`]{1,120}`|\[[^\[\]]{0,120}\]|[^\[\]\\`]){0,120})\]"
    r"\([ \n]?<?(?P<url>(?:[^\s()<>]|\([^\s()]{0,200}\)){0,2000})>?(?:\s\"[^\"]{0,200}\")?[ \n]?\)",
    regex.DOTALL,
)
MATH = regex.compile(
    r"\\\(.{1,200}?\\\)|\\\[.{1,200}?\\\]|\$\$.{1,200}?\$\$|\$(?=[^\s\d$])(?:[ \t]*[^\s$]){1,200}?\$(?!\d)",
    regex.DOTALL,
)
ESCAPE = regex.compile(r"\\(?P<inner>[\n!-'*-/:-@\\^-`{-~])")  # but not of brackets: those begin LaTeX


class InlineParser:
    """Turns the characters of one paragraph into spans, each as soon as it is decided what it is."""

    def __init__(self, style: str = "") -> None:
        self.style = style
        self.held = ""
        self.before = " "  # the character before what is held
        self.bold_is_open = False

    def feed(self, text: str) -> Iterator[Span]:
        for char in text:
            self.held += char
            yield from self._take(at_end=False)

    def finish(self) -> Iterator[Span]:
        """The rest, where the paragraph ends."""
        yield from self._take(at_end=True)
        self.before, self.bold_is_open = " ", False

    def _take(self, *, at_end: bool) -> Iterator[Span]:
        while self.held:
            length, spans = self._next(at_end)
            if not length:
                return
            self.before, self.held = self.held[length - 1], self.held[length:]
            yield from spans

    def _next(self, at_end: bool) -> tuple[int, list[Span]]:
        """The length of what comes next and how it looks; 0 while that is not decided."""
        style = join_styles(self.style, BOLD) if self.bold_is_open else self.style
        if plain := PLAIN.match(self.held):
            return plain.end(), [(plain[0], style)]
        if not at_end and len(self.held) == 1:
            return 0, []
        if self.bold_is_open and self.held.startswith("**") and not self.before.isspace():
            self.bold_is_open = False
            return 2, []
        text = self.before + self.held  # patterns look back one character
        for pattern, show in PATTERNS:
            match = pattern.match(text, 1, partial=not at_end)
            if match and not at_end and (match.partial or match.end() == len(text)):
                return 0, []  # the next character may change it
            if match:
                return match.end() - 1, show(match, style)
        if not at_end and OPEN_BOLD.match(text, 1):
            self.bold_is_open = True
            return 2, []
        run = RUN.match(self.held)
        return run.end(), [(run[0], style)]


def parse_inline(text: str, style: str) -> list[Span]:
    """The spans of a text that is complete."""
    parser = InlineParser(style)
    parser.held = text
    return list(parser.finish())


def show_code(match: regex.Match[str], style: str) -> list[Span]:
    code = match["inner"].replace("\n", " ")
    if code.strip(" ") and code[0] == code[-1] == " ":
        code = code[1:-1]  # the spaces that part it from a backtick of its own
    return [(code, join_styles(style, CYAN))]


def show_link(match: regex.Match[str], style: str) -> list[Span]:
    text, url = match["inner"], match["url"]
    if text == url or not text:
        return [(url, join_styles(style, UNDERLINE))]
    spans = parse_inline(text, join_styles(style, UNDERLINE))
    return [*spans, (f" ({url})", join_styles(style, DIM))] if url else spans


def show_emphasis(own: str) -> Show:
    return lambda match, style: parse_inline(match["inner"], join_styles(style, own))


PATTERNS: list[tuple[regex.Pattern[str], Show]] = [
    (ESCAPE, lambda match, style: [(match["inner"], style)]),
    (MATH, lambda match, style: [(match[0], style)]),
    (CODE, show_code),
    (LINK, show_link),
    *((regex.compile(pattern, regex.DOTALL), show_emphasis(own)) for pattern, own in EMPHASIS),
]

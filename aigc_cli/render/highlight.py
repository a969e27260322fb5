"""Colours for code, line by line as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aigc_cli.render.wrap import Span

if TYPE_CHECKING:
    from pygments.lexer import Lexer

# The terminal's own 16 colours, so that they suit a light background as well as a dark one.
STYLES = {
    "Comment": "2",
    "Keyword": "35",
    "Literal.String": "32",
    "Literal.Number": "36",
    "Name.Function": "34",
    "Name.Class": "34",
    "Name.Decorator": "34",
    "Name.Builtin": "36",
    "Name.Tag": "35",
    "Name.Attribute": "34",
    "Generic.Deleted": "31",
    "Generic.Inserted": "32",
    "Generic.Heading": "1",
    "Generic.Subheading": "36",
}
LONGEST_CONTEXT = 100  # lines
MULTILINE = ("Token.Literal.String", "Token.Comment.Multiline")


class Highlighter:
    """Styles the lines of one block. A language that Pygments does not know, and "", are left plain.

    Pygments reads whole texts only, so each line is read behind its context: what came since the last line that began
    at the margin outside of strings and comments. Of a long string or comment that is its first lines and its last ones.
    """

    def __init__(self, language: str) -> None:
        self.lexer = find_lexer(language) if language else None
        self.context = ""
        self.opening = ""  # the context in which the string or comment that is open began
        self.in_multiline = False

    def line(self, text: str) -> list[Span]:
        if self.lexer is None:
            return [(text, "")]
        if self.context.count("\n") > LONGEST_CONTEXT:
            self.context = self.opening if self.in_multiline else ""
        elif text[:1].isalpha() and not self.in_multiline:
            self.context = ""
        start, at, token = len(self.context), 0, None
        self.context += text + "\n"
        spans = []
        for token, value in self.lexer.get_tokens(self.context):
            shown = value[max(0, start - at) :].rstrip("\n")
            at += len(value)
            if shown:
                spans.append((shown, style_of(str(token))))
        was_in_multiline, self.in_multiline = self.in_multiline, str(token).startswith(MULTILINE)
        if self.in_multiline and not was_in_multiline:
            self.opening = self.context
        return spans


def style_of(token: str) -> str:
    """The style of a Pygments token such as "Token.Name.Function.Magic"."""
    return next((style for name, style in STYLES.items() if token.startswith(f"Token.{name}")), "")


def find_lexer(language: str) -> Lexer | None:
    from pygments.lexers import get_lexer_by_name  # costs 10 ms, which an answer without code need not pay
    from pygments.util import ClassNotFound

    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None

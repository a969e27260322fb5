"""The process's streams, and what is known about them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from aigc_cli.core.errors import AigcError, ExitStatus
from aigc_cli.core.events import Event, Progress
from aigc_cli.core.units import format_size
from aigc_cli.render.sanitize import UNSAFE, ControlFilter, sanitize

DIM, RED, YELLOW, RESET = "\x1b[2m", "\x1b[31m", "\x1b[33m", "\x1b[0m"
ESCAPED_IN_JSON = re.compile(UNSAFE.pattern + "|[\u2028\u2029\ud800-\udfff]")  # also what some take for a line's end, and lone surrogates
PLAIN_FORMS = str.maketrans("━╌·", "=-|")
PATH = re.compile(r"(\S*[/\\]\S+)")
PROGRESS_INTERVAL = 0.1  # seconds between two drawings of a bar


class Output:
    """stdout holds the result and nothing else; notes, progress and errors go to stderr.

    A line on stderr is dim, yellow or red only on a terminal that wants colour (NO_COLOR, FORCE_COLOR).
    file: takes stdout's place; what it held is kept until there is something to write.
    """

    def __init__(self, *, quiet: bool = False, verbose: bool = False, json: bool = False, file: Path | None = None) -> None:
        self.quiet, self.verbose, self.json = quiet, verbose, json
        self.file = file
        self._stream: BinaryIO | None = None
        self.stdout_is_terminal = file is None and sys.stdout.isatty()
        self.stderr_is_terminal = sys.stderr.isatty()
        self.stderr_redraws = self.stderr_is_terminal and not quiet and os.environ.get("TERM") != "dumb"
        self.stderr_colour = wants_colour(self.stderr_is_terminal)
        self.stdout_colour = wants_colour(self.stdout_is_terminal)
        self._drawn: tuple[str, ...] = ()  # the lines that what is said next takes the place of
        self._bar_drawn_at = 0.0
        self._thought_filter = ControlFilter()
        self._thought_is_open = False  # its line has not ended

    def write(self, text: str) -> None:
        """To stdout at once, byte for byte but for lone surrogates, as of a file's name that is not UTF-8: they are escaped.

        Raises: BrokenPipeError when its reader went away.
        """
        self.write_bytes(text.encode("utf-8", "backslashreplace"))

    def write_bytes(self, data: bytes) -> None:
        """To stdout at once, such as a picture. Raises: as write."""
        self._make_way()
        if self._stream is None:
            self._stream = self.file.open("wb") if self.file else sys.stdout.buffer
        self._stream.write(data)
        self._stream.flush()

    def write_json(self, value: dict[str, Any]) -> None:
        """One JSON object, one line for every reader; what a terminal would obey is escaped."""
        self.write(ESCAPED_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=False)) + "\n")

    def write_event(self, event: Event) -> None:
        self.write_json(event.to_json())

    def note(self, message: str) -> None:
        """A remark on stderr, unless the user wants quiet."""
        if not self.quiet:
            self._say(message, DIM)

    def detail(self, message: str) -> None:
        """A remark on stderr for those who asked for more."""
        if self.verbose:
            self._say(message, DIM)

    def caution(self, message: str, hint: str = "") -> None:
        """Something that --quiet must not hide: input dropped, a result cut."""
        self._say(f"aigc: {message}" + (f"\n      {hint}" if hint else ""), YELLOW)

    def aside(self, text: str) -> None:
        """A piece of a stream on stderr, as it comes."""
        self._make_way()
        self._write_stderr(sanitize(text) if self.stderr_is_terminal else text)

    def paint(self, text: str) -> None:
        """What the program itself drew for stderr's terminal, escape sequences and all; it stays."""
        if self.stderr_redraws:
            self._make_way()
            self._write_stderr(text)

    def think(self, text: str) -> None:
        """A piece of what a model thinks aloud, on stderr and dim there. What comes next begins on a line of its own."""
        self.clear_progress()
        text = self._thought_filter.feed(text) if self.stderr_is_terminal else text
        if text and not self.quiet:
            self._thought_is_open = not text.endswith("\n")
            self._write_stderr(f"{DIM}{text}{RESET}" if self.stderr_colour else text)

    def end_thought(self) -> None:
        """Ends its line, unless that is done."""
        self._thought_filter = ControlFilter()  # an escape sequence that is open must not swallow what comes next
        if self._thought_is_open:
            self._thought_is_open = False
            self._write_stderr("\n")

    def error(self, message: str, hint: str = "") -> None:
        self._say(f"aigc: {message}", RED)
        if hint:
            self._say(f"      {hint}", "")

    def _say(self, message: str, colour: str) -> None:
        self._make_way()
        message = wrapped(sanitize(message), stderr_columns()) if self.stderr_is_terminal else message
        if self.stderr_colour and colour:
            message = f"{colour}{message}{RESET}"
        self._write_stderr(message + "\n")

    def _write_stderr(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            pass  # nobody reads the remarks; the result still matters

    def progress(self, event: Progress) -> None:
        """Draws a bar over itself, on a terminal only."""
        now = time.monotonic()
        complete = event.total is not None and event.done >= event.total
        if not self.stderr_redraws or (now - self._bar_drawn_at < PROGRESS_INTERVAL and not complete):
            return
        self._bar_drawn_at = now
        self.draw([progress_line(event, stderr_columns() - 1)])

    def status(self, message: str) -> None:
        """A line on a terminal that the next thing said takes the place of."""
        if self.stderr_redraws:
            from aigc_cli.render.width import clip

            self.draw([clip(sanitize(message), stderr_columns() - 1)])

    def draw(self, lines: Sequence[str], *, over: bool = False) -> None:
        """Lines on a terminal that the next drawing, or the next thing said, takes the place of; each fits the terminal.

        over: writes over what is drawn, which is not erased before: a picture would flicker.
        """
        if self.stderr_redraws:
            lines = [encodable(line, sys.stderr.encoding or "ascii") for line in lines]
            if over and self._drawn and not self._is_broken():
                up = f"\x1b[{len(self._drawn) - 1}A" if len(self._drawn) > 1 else ""
                self._write_stderr(f"\r{up}" + "\x1b[K\n".join(lines) + "\x1b[J")
            else:
                self._write_stderr((self._erasure() or "\r\x1b[K") + "\n".join(lines))
            self._drawn = tuple(lines)

    def _make_way(self) -> None:
        self.clear_progress()
        self.end_thought()

    def clear_progress(self) -> None:
        if self._drawn:
            self._write_stderr(self._erasure())
            self._drawn = ()

    def _erasure(self) -> str:
        """What takes back the drawn lines, also when the terminal has become narrower and broke them."""
        if not self._drawn:
            return ""
        rows = self._rows()
        return "\r\x1b[K" if rows == 1 else f"\r\x1b[{rows - 1}A\x1b[J"

    def _rows(self) -> int:
        """Of the screen that the drawn lines take."""
        from aigc_cli.render.width import cells

        width = stderr_columns()
        return sum(max(1, -(-cells(line) // width)) for line in self._drawn)

    def _is_broken(self) -> bool:
        """Whether the terminal has become narrower than what is drawn."""
        return self._rows() > len(self._drawn)


def wrapped(message: str, width: int) -> str:
    """The message with its lines broken between words, each below its own indentation; paths stay whole."""
    if all(len(line) * 2 < width for line in message.split("\n")):  # no character takes more than two cells
        return message
    from aigc_cli.render.wrap import LineWriter  # costs 20 ms, which a run without such a line need not pay

    pieces: list[str] = []
    writer = LineWriter(pieces.append, lambda: width, colour=False)
    for line in message.split("\n"):
        text = line.lstrip(" ")
        indentation = [(line[: len(line) - len(text)], "")]
        writer.begin(indentation, indentation)
        for number, part in enumerate(PATH.split(text)):
            (writer.put_whole if number % 2 else writer.put)(part)
        writer.end_line()
    return "".join(pieces).removesuffix("\n")


def stderr_columns() -> int:
    """The width of the terminal behind stderr; shutil would ask stdout's, which may be a pipe."""
    if os.environ.get("COLUMNS", "").isdecimal():
        return int(os.environ["COLUMNS"]) or 80
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80  # 0 is a terminal that does not know its size
    except (OSError, ValueError):
        return 80


def encodable(line: str, encoding: str) -> str:
    """The line in characters that the encoding has, as wide as before: an escape would take more room than there is."""
    try:
        line.encode(encoding)
    except UnicodeEncodeError:
        return line.translate(PLAIN_FORMS).encode(encoding, "replace").decode(encoding)
    return line


def wants_colour(is_terminal: bool) -> bool:
    """NO_COLOR and FORCE_COLOR count when they are set and not empty (no-color.org, force-color.org)."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (is_terminal and os.environ.get("TERM") != "dumb")


def progress_line(event: Progress, width: int) -> str:
    """A bar with its numbers, at most so many cells wide."""
    from aigc_cli.render.width import cells, clip  # costs 20 ms, which a run without a bar need not pay

    phase = sanitize(event.phase)
    count = format_size(event.done) if event.unit == "B" else str(event.done)
    if not event.total:
        return clip(f"{phase}  {count}" if event.done else f"{phase} ...", width)
    total = format_size(event.total) if event.unit == "B" else str(event.total)
    share = min(1.0, event.done / event.total)
    text = f"  {share:4.0%}  {count} / {total}"
    length = max(0, min(30, width - cells(phase) - len(text) - 2))
    filled = int(length * share)
    return clip(f"{phase}  {'━' * filled}{'╌' * (length - filled)}{text}", width)


def show_error(output: Output, error: AigcError, status: ExitStatus) -> None:
    """Two lines on stderr; with --json also an `error` event on stdout."""
    output.error(error.message, error.hint)
    if output.json and not error.is_in_json:
        with contextlib.suppress(OSError):  # stdout may be gone: stderr has it
            output.write_json(error.to_json(status))

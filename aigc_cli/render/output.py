"""The process's streams, and what is known about them."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from typing import Any

from aigc_cli.core.errors import AigcError, ExitStatus
from aigc_cli.core.events import Event, Progress
from aigc_cli.render.sanitize import sanitize

DIM, RED, YELLOW, RESET = "\x1b[2m", "\x1b[31m", "\x1b[33m", "\x1b[0m"
PROGRESS_INTERVAL = 0.1  # seconds between two drawings of a bar


class Output:
    """stdout holds the result and nothing else; notes, progress and errors go to stderr.

    A line on stderr is dim, yellow or red only on a terminal that wants colour (NO_COLOR, FORCE_COLOR).
    """

    def __init__(self, *, quiet: bool = False, verbose: bool = False, json: bool = False) -> None:
        self.quiet, self.verbose, self.json = quiet, verbose, json
        self.stdout_is_terminal = sys.stdout.isatty()
        self.stderr_is_terminal = sys.stderr.isatty()
        self.stderr_colour = wants_colour(self.stderr_is_terminal)
        self.stdout_colour = wants_colour(self.stdout_is_terminal)
        self._bar_is_shown = False
        self._bar_drawn_at = 0.0

    def write(self, text: str) -> None:
        """To stdout at once, byte for byte. Raises: BrokenPipeError when its reader went away."""
        self.clear_progress()
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()

    def write_json(self, value: dict[str, Any]) -> None:
        """One JSON object, one line."""
        self.write(json.dumps(value, ensure_ascii=False) + "\n")

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
        self.clear_progress()
        self._write_stderr(sanitize(text) if self.stderr_is_terminal else text)

    def error(self, message: str, hint: str = "") -> None:
        self._say(f"aigc: {message}", RED)
        if hint:
            self._say(f"      {hint}", "")

    def _say(self, message: str, colour: str) -> None:
        self.clear_progress()
        message = sanitize(message) if self.stderr_is_terminal else message
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
        if not self.stderr_is_terminal or self.quiet or (now - self._bar_drawn_at < PROGRESS_INTERVAL and not complete):
            return
        self._bar_drawn_at, self._bar_is_shown = now, True
        width = shutil.get_terminal_size().columns
        self._write_stderr("\r\x1b[K" + progress_line(event, width - 1))

    def clear_progress(self) -> None:
        if self._bar_is_shown:
            self._write_stderr("\r\x1b[K")
            self._bar_is_shown = False


def wants_colour(is_terminal: bool) -> bool:
    """NO_COLOR and FORCE_COLOR count when they are set and not empty (no-color.org, force-color.org)."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (is_terminal and os.environ.get("TERM") != "dumb")


def progress_line(event: Progress, width: int) -> str:
    count = format_size(event.done) if event.unit == "B" else str(event.done)
    if not event.total:
        return f"{event.phase}  {count}"[:width]
    total = format_size(event.total) if event.unit == "B" else str(event.total)
    share = min(1.0, event.done / event.total)
    text = f"  {share:4.0%}  {count} / {total}"
    cells = max(0, min(30, width - len(event.phase) - len(text) - 2))
    filled = int(cells * share)
    return f"{event.phase}  {'━' * filled}{'╌' * (cells - filled)}{text}"[:width]


def format_size(size: float) -> str:
    """Bytes as people read them, in powers of 1024."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def show_error(output: Output, error: AigcError, status: ExitStatus) -> None:
    """Two lines on stderr; with --json also an `error` event on stdout."""
    output.error(error.message, error.hint)
    if output.json:
        try:
            output.write_json({"event": "error", "t": 0.0, "message": error.message, "hint": error.hint, "status": int(status)})
        except OSError:
            pass  # stdout is gone: stderr has it

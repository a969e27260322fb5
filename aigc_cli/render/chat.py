"""A chat in the terminal: answers on stdout, all else on stderr."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence

from aigc_cli.core.errors import AigcError
from aigc_cli.core.events import Caution, Done, Event, ReasoningDelta, TextDelta
from aigc_cli.render.markdown import MarkdownStream
from aigc_cli.render.output import Output, stderr_columns
from aigc_cli.render.side_by_side import fits_side_by_side, side_by_side
from aigc_cli.render.text import render_text, show_done, show_remark
from aigc_cli.render.width import cells, one_line
from aigc_cli.render.wrap import LineWriter


class ChatView:
    """Shows what a session has to say. with_traceback: also where an error came from."""

    def __init__(self, output: Output, *, with_traceback: bool = False) -> None:
        self.output, self.with_traceback = output, with_traceback
        self.cautions: set[str] = set()

    def answer(self, events: Iterable[Event]) -> Done | None:
        """Shows one answer as it comes. Returns: its Done, or None when the stream had none."""
        try:
            return render_answer(self._without_repeats(events), self.output)
        finally:
            if not self.output.stdout_is_terminal:
                self.output.write("\n")

    def compare(self, answers: Sequence[tuple[str, Iterable[Event]]], context_length: int | None) -> None:
        """Answers below their headings: in columns where the terminal is wide enough, else one after the other as they come."""
        if self.output.stdout_is_terminal and fits_side_by_side(len(answers), width() - 1):
            self._in_columns(answers, context_length)
            return
        for heading, events in answers:
            self.output.aside(heading + "\n")
            if done := self.answer(events):
                self.took(done, context_length)

    def _in_columns(self, answers: Sequence[tuple[str, Iterable[Event]]], context_length: int | None) -> None:
        collected = [self._collect(heading, events) for heading, events in answers]
        texts = [(heading, text) for (heading, _), (text, _) in zip(answers, collected, strict=True)]
        self.output.write(side_by_side(texts, width() - 1, colour=self.output.stdout_colour))
        for (heading, _), (_, done) in zip(answers, collected, strict=True):
            if done:
                name = heading.partition(":")[0] + ": "
                show_done(done, self.output)
                self.output.note(name + status_line(done, context_length, width() - 1 - len(name)))
        self.output.aside("\n")

    def _collect(self, heading: str, events: Iterable[Event]) -> tuple[str, Done | None]:
        """An answer as a whole, without its thoughts; meanwhile a line says how far it is."""
        pieces: list[str] = []
        done = None
        for event in self._without_repeats(events):
            match event:
                case TextDelta():
                    pieces.append(event.text)
                    self.output.status(f"{heading}: {one_line(''.join(pieces[-40:]), 40)}")
                case Done():
                    done = event
                case ReasoningDelta():
                    self.output.status(f"{heading}: thinking")
                case _:
                    show_remark(event, self.output)
        return "".join(pieces), done

    def _without_repeats(self, events: Iterable[Event]) -> Iterator[Event]:
        """A caution that holds for every answer is said once a session."""
        for event in events:
            if isinstance(event, Caution):
                if event.message in self.cautions:
                    continue
                self.cautions.add(event.message)
            yield event

    def took(self, done: Done, context_length: int | None) -> None:
        """The line below an answer, and a blank one before the next prompt."""
        self.output.note(status_line(done, context_length, width() - 1))
        self.output.aside("\n")

    def tell(self, message: str, rows: Sequence[tuple[str, str]] = ()) -> None:
        """What the user asked for: --quiet does not hide it."""
        if message:
            self.output.aside(message + "\n")
        write_rows(rows, self.output.aside)

    def note(self, message: str) -> None:
        self.output.note(message)

    def error(self, error: AigcError, cause: Exception) -> None:
        if self.with_traceback:
            self.output.aside("".join(traceback.format_exception(cause)))
        self.output.error(error.message, error.hint)


def render_answer(events: Iterable[Event], output: Output) -> Done | None:
    """One answer to stdout: on a terminal as Markdown, elsewhere as it is. Thoughts go to stderr, dim.

    Returns: its Done, or None when the stream had none.
    """
    if not output.stdout_is_terminal:
        return render_text(events, output)
    markdown = MarkdownStream(output.write, width, colour=output.stdout_colour)
    done, is_thinking = None, False
    try:
        for event in events:
            match event:
                case ReasoningDelta():
                    is_thinking = True
                    output.think(event.text)
                case TextDelta():
                    if is_thinking:
                        is_thinking = False
                        output.aside("\n")  # a blank line parts what may not be told by its colour
                    markdown.feed(event.text)
                case Done():
                    done = event
                case _:
                    show_remark(event, output)
    finally:
        output.clear_progress()
        markdown.finish()
        output.end_thought()
    if done:
        show_done(done, output)
    return done


def status_line(done: Done, context_length: int | None, limit: int) -> str:
    """Tokens, tokens/s, time to the first token, context used and its limit: as many of them as fit."""
    used = (done.prompt_tokens or 0) + (done.completion_tokens or 0)
    of = f"/{context_length:,}" if context_length else ""
    parts = {
        "tokens": f"{done.completion_tokens:,} token{'s' * (done.completion_tokens != 1)}" if done.completion_tokens is not None else "",
        "speed": f"{done.tokens_per_second:.1f} tokens/s" if done.tokens_per_second else "",
        "ttft": f"first after {done.ttft:.2f} s" if done.ttft is not None else "",
        "context": f"context {used:,}{of}" if used else "",
    }
    for dropped in ("", "ttft", "tokens", "speed"):
        parts.pop(dropped, None)
        line = " · ".join(part for part in parts.values() if part)
        if len(line) <= limit:
            break
    return line[:limit]


def write_rows(rows: Sequence[tuple[str, str]], write: Callable[[str], None]) -> None:
    """Names and their texts side by side; below each other where that leaves the texts too little room."""
    indent = max((cells(name) for name, _ in rows), default=0) + 2
    is_narrow = indent > width() // 2
    writer = LineWriter(write, lambda: width() - 1, colour=False)
    for name, text in rows:
        if is_narrow:
            writer.put_line([(name, "")])
        before = "  " if is_narrow else name + " " * (indent - cells(name))
        writer.begin([(before, "")], [(" " * cells(before), "")])
        writer.put(text)
        writer.end_line()


def width() -> int:
    """Columns of the terminal, also where stdout is a pipe."""
    return shutil.get_terminal_size((stderr_columns(), 24)).columns

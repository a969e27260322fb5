"""Completions as text on stdout, for a person or a pipe."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from aigc_cli.core.events import Caution, Done, Event, Loaded, Progress, ReasoningDelta, TextDelta
from aigc_cli.render.output import Output
from aigc_cli.render.sanitize import ControlFilter


def render_text(events: Iterable[Event], output: Output, separator: str = "---") -> Done | None:
    """Writes each completion as it comes; those that run beside it wait for their turn.

    On a terminal the text is filtered and ends with a newline; in a pipe it is byte-exact.
    Returns: the Done event, or None when the stream had none.
    """
    writer = CompletionWriter(output, separator)
    done = None
    for event in events:
        match event:
            case TextDelta():
                writer.add(event.index, event.text)
            case ReasoningDelta():
                show_reasoning(output, event.text)
            case Done():
                done = event
            case _:
                show_remark(event, output)
    writer.finish()
    if done:
        show_done(done, output)
    return done


class CompletionWriter:
    """Puts completions on stdout in order of their index, each as it streams."""

    def __init__(self, output: Output, separator: str) -> None:
        self.output, self.separator = output, separator
        self.waiting: defaultdict[int, list[str]] = defaultdict(list)
        self.current = 0
        self.filter = ControlFilter() if output.stdout_is_terminal else None

    def add(self, index: int, text: str) -> None:
        if index == self.current:
            self._write(text)
        else:
            self.waiting[index].append(text)

    def _write(self, text: str) -> None:
        self.output.write(self.filter.feed(text) if self.filter else text)

    def finish(self) -> None:
        """Writes what had to wait, a separator line before each."""
        for index in sorted(self.waiting):
            self._write(f"\n{self.separator}\n")
            self._write("".join(self.waiting[index]))
        if self.filter:
            self.output.write(self.filter.flush() + "\n")


def show_reasoning(output: Output, text: str) -> None:
    """Thoughts go to stderr."""
    if not output.quiet:
        output.aside(text)


def show_remark(event: Event, output: Output) -> None:
    """What is not the result: progress, what was loaded, cautions."""
    match event:
        case Progress():
            output.progress(event)
        case Loaded():
            output.detail(f"{event.model} on {event.device} in {event.dtype}, loaded in {event.seconds:.2f} s ({event.reason})")
        case Caution():
            output.caution(event.message, event.hint)


def show_done(done: Done, output: Output) -> None:
    """Statistics for those who asked; a length stop and a cut input for everybody."""
    if done.dropped:
        output.caution(f"the input was cut: {done.kept} tokens kept, {done.dropped} dropped")
    if done.finish_reason == "length":
        output.note(f"aigc: stopped at {done.completion_tokens} tokens, before the model had ended (--max-new-tokens)")
    output.detail(summary(done))


def summary(done: Done) -> str:
    """One line of what a request took: only what is known."""
    parts = [f"mode {done.mode}", f"seed {done.seed}" if done.seed is not None else "", f"{done.prompt_tokens} prompt tokens"]
    parts += [f"{done.completion_tokens} tokens"]
    parts += [f"{done.tokens_per_second:.1f} tokens/s" if done.tokens_per_second else ""]
    parts += [f"first token after {done.ttft:.2f} s" if done.ttft is not None else "", f"ended by {done.finish_reason}"]
    return " · ".join(part for part in parts if part)

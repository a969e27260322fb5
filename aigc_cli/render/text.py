"""Completions as text on stdout, for a person or a pipe."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from aigc_cli.core.events import Caution, Done, Event, FileWritten, Loaded, Progress, ReasoningDelta, Remark, TextDelta
from aigc_cli.render.output import Output
from aigc_cli.render.sanitize import ControlFilter


def render_text(events: Iterable[Event], output: Output, separator: str = "---") -> Done | None:
    """Writes each completion as it comes; those that run beside it wait for their turn.

    On a terminal the text is filtered and ends with a newline; in a pipe it is byte-exact.
    Returns: the Done event, or None when the stream had none.
    """
    writer = CompletionWriter(output, separator)
    done = None
    try:
        for event in events:
            match event:
                case TextDelta() | ReasoningDelta():
                    writer.add(event)
                case Done():
                    done = event
                case _:
                    show_remark(event, output)
    except BaseException:
        writer.end_line()
        raise
    finally:
        output.clear_progress()
    writer.finish(len(done.finish_reasons or ()) if done else 0)
    if done:
        show_done(done, output)
    return done


class CompletionWriter:
    """Puts completions on stdout in order of their index, the first as it streams, and their thoughts on stderr."""

    def __init__(self, output: Output, separator: str) -> None:
        self.output, self.separator = output, separator
        self.waiting: defaultdict[int, list[TextDelta | ReasoningDelta]] = defaultdict(list)
        self.filter = ControlFilter() if output.stdout_is_terminal else None
        self.line_is_open = False

    def add(self, delta: TextDelta | ReasoningDelta) -> None:
        if delta.index:
            self.waiting[delta.index].append(delta)
        else:
            self._show(delta)

    def finish(self, count: int = 0) -> None:
        """Writes what had to wait, a separator line before each. count: completions, if known; some may be empty."""
        for index in range(1, max([count, *(index + 1 for index in self.waiting)])):
            self._end_completion()
            self._write(f"\n{self.separator}\n")
            for delta in self.waiting[index]:
                self._show(delta)
        self._end_completion()
        self.end_line()

    def end_line(self) -> None:
        """On a terminal, what comes next begins on a line of its own."""
        self.output.end_thought()
        if self.filter and self.line_is_open:
            self._write("\n")

    def _show(self, delta: TextDelta | ReasoningDelta) -> None:
        if isinstance(delta, ReasoningDelta):
            self.output.think(delta.text)
        else:
            self._write(self.filter.feed(delta.text) if self.filter else delta.text)

    def _write(self, text: str) -> None:
        if text:
            self.output.write(text)
            self.line_is_open = not text.endswith("\n")

    def _end_completion(self) -> None:
        self.output.end_thought()
        if self.filter:
            self.filter = ControlFilter()


def show_remark(event: Event, output: Output) -> None:
    """What is not the result: progress, what was loaded, cautions."""
    match event:
        case Progress():
            output.progress(event)
        case Loaded():
            tuned = "".join(f" + {name}" for name in event.adapters or ())
            output.detail(f"{event.model}{tuned} on {event.device} in {event.dtype}, loaded in {event.seconds:.2f} s ({event.reason})")
        case Remark():
            output.detail(event.message)
        case FileWritten():
            output.note(f"{event.what}: {event.path}")
        case Caution():
            output.caution(event.message, event.hint)


def show_done(done: Done, output: Output) -> None:
    """Statistics for those who asked; a length stop and a cut input for everybody."""
    if done.dropped:
        output.caution(f"the input was cut: {done.kept} tokens kept, {done.dropped} dropped")
    reasons = done.finish_reasons or (done.finish_reason,)
    if cut := reasons.count("length"):
        what = f"stopped at {done.completion_tokens} tokens," if len(reasons) == 1 else f"{cut} of {len(reasons)} completions stopped"
        output.note(f"aigc: {what} before the model had ended ({limit_met(done)})")
    output.detail(" · ".join([*figures(done), *details(done)]))


def limit_met(done: Done) -> str:
    """What a text that was stopped by its length ran into."""
    used = (done.prompt_tokens or 0) + (done.completion_tokens or 0) // len(done.finish_reasons or (1,))
    is_full = done.context_length is not None and used >= done.context_length
    return f"the context of {done.context_length} tokens is full" if is_full else "--max-new-tokens"


def show_figures(done: Done, output: Output) -> None:
    """One dim line for a person; a script that wants the figures asks for them."""
    if output.stderr_is_terminal and not output.verbose:
        output.note(" · ".join(figures(done)))


def figures(done: Done) -> list[str]:
    """What everybody may want to know, the seed to get the same again: only what is known."""
    parts = [
        f"{done.completion_tokens} token{'s' * (done.completion_tokens != 1)}" if done.completion_tokens is not None else "",
        f"{done.tokens_per_second:.1f} tokens/s" if done.tokens_per_second else "",
        f"seed {done.seed}" if done.seed is not None else "",
    ]
    return [part for part in parts if part]


def details(done: Done) -> list[str]:
    parts = [
        f"first token after {done.ttft:.2f} s" if done.ttft is not None else "",
        f"{done.prompt_tokens} prompt tokens" if done.prompt_tokens is not None else "",
        f"mode {done.mode}" if done.mode else "",
        f"ended by {done.finish_reason}",
    ]
    return [part for part in parts if part]

"""The line editor of a session: history, several lines, pasting, completion."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from pathlib import Path
from time import monotonic
from typing import TextIO

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter, WordCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output.defaults import create_output

from aigc_cli.chat.parameters import TYPES
from aigc_cli.chat.slash import COMMANDS
from aigc_cli.chat.terminal import deferred_sigterm

FENCE = '"""'
PROMPT, CONTINUATION = "> ", ". "
IMPATIENCE = 0.5  # seconds after a stopped answer in which Ctrl-C is still meant for that answer
TAKE_FILES = ("file", "save", "load", "model")


class LineEditor:
    """Reads what the user types, one message at a time. screen: where it draws, if not on stdout."""

    def __init__(self, history: Path, warn: Callable[[str], None], screen: TextIO | None = None) -> None:
        self._was_interrupted = False
        self._stopped_at = -inf
        self.warn = warn
        self.history = History(history)
        self.history_was_reported = False
        self.session: PromptSession[str] = PromptSession(
            PROMPT,
            prompt_continuation=CONTINUATION,
            multiline=True,
            history=self.history,
            key_bindings=key_bindings(),
            completer=SlashCompleter(),
            complete_while_typing=Condition(lambda: get_app().current_buffer.text.startswith("/")),
            enable_open_in_editor=True,
            reserve_space_for_menu=6,
            output=create_output(screen) if screen else None,
        )

    def read(self, draft: str = "", *, after_stop: bool = False) -> str | None:
        """The next message, with `draft` to begin with; "" for a line that was cleared, None to leave.

        Ctrl-C at an empty prompt leaves when the key before it was Ctrl-C too. after_stop: it was, and stopped an answer.
        """
        is_second = after_stop or self._was_interrupted
        self._stopped_at = monotonic() if after_stop else self._stopped_at
        self._was_interrupted = False
        try:
            with deferred_sigterm(self._stop):
                text = self.session.prompt(default=draft)
        except EOFError:
            return None
        except KeyboardInterrupt:
            return self._interrupted(is_second)
        self._report_history()
        return encodable(text)

    def _interrupted(self, is_second: bool) -> str | None:
        self._was_interrupted = True
        if self.session.default_buffer.text or monotonic() - self._stopped_at < IMPATIENCE:
            return ""
        if is_second:
            return None
        self.warn("Ctrl-C again leaves, and so does Ctrl-D")
        return ""

    def _report_history(self) -> None:
        """Not where it happens, for there the prompt is on the screen."""
        if self.history.problem and not self.history_was_reported:
            self.warn(f"what you type is not kept for the next time: {self.history.problem}")
            self.history_was_reported = True

    def _stop(self) -> bool:
        app = self.session.app
        if app.is_running and not app.is_done:
            app.exit(exception=EOFError)
        return app.is_running


class History(FileHistory):
    """A file of what was typed. Where it cannot be read or written, memory; `problem` then says why."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path
        self.problem = ""

    def load_history_strings(self) -> Iterable[str]:
        try:
            return list(super().load_history_strings())
        except OSError as error:
            self._give_up(error)
            return []

    def store_string(self, string: str) -> None:
        if self.problem:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch(mode=0o600)
            super().store_string(encodable(string))
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.problem = f"{error.filename or self.path}: {(error.strerror or str(error)).lower()}"


class SlashCompleter(Completer):
    """Names of commands, then what the command takes."""

    def __init__(self) -> None:
        helps = {f"/{name}": command.help for name, command in COMMANDS.items()}
        self.commands = WordCompleter(list(helps), meta_dict=helps, sentence=True)
        self.options = WordCompleter(list(TYPES))
        self.files = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        text = document.text_before_cursor
        if not text.startswith("/") or "\n" in text:
            return
        command, blank, argument = text[1:].partition(" ")
        if not blank:
            yield from self.commands.get_completions(document, complete_event)
        elif command in TAKE_FILES:
            yield from self.files.get_completions(Document(argument), complete_event)
        elif command == "set" and " " not in argument:
            yield from self.options.get_completions(Document(argument), complete_event)


def key_bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("enter")
    def send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if in_open_block(buffer.text):
            buffer.newline(copy_margin=False)
        else:
            buffer.validate_and_handle()

    @bindings.add("escape", "enter")
    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    return bindings


def in_open_block(text: str) -> bool:
    return text.lstrip().startswith(FENCE) and text.count(FENCE) == 1


def message_text(line: str) -> str:
    """What is sent: without the fences of a block, and with one slash for two at the beginning of a line that is alone."""
    text = line.strip()
    if text.startswith(FENCE):
        return text.removeprefix(FENCE).removesuffix(FENCE).strip("\n").rstrip()
    return text[1:] if text.startswith("//") and "\n" not in text else text


def encodable(text: str) -> str:
    """Bytes that were typed or pasted and are no UTF-8 come as lone surrogates: each becomes U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

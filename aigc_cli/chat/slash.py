"""The slash commands: each takes the session and its argument, and says what is to happen next."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

from aigc_cli.chat.parameters import checked, full_name, with_parameter
from aigc_cli.chat.session import Session, to_messages
from aigc_cli.chat.transcript import Transcript, load_transcript, save_transcript
from aigc_cli.core.errors import UsageError
from aigc_cli.core.request import TextRequest
from aigc_cli.render.width import one_line
from aigc_cli.text_input import read_text


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What follows a line: remarks, then perhaps a question to ask, a draft to put into the prompt, or the end.

    rows: (name, text) pairs to set in two columns.  replaces: the question, or the draft once it is sent, takes the
    last turn's place.  stopped: Ctrl-C brought this about.  compare: what base and tuned are to answer side by side.
    """

    say: str = ""
    rows: tuple[tuple[str, str], ...] = ()
    ask: str = ""
    draft: str = ""
    replaces: bool = False
    leave: bool = False
    stopped: bool = False
    compare: TextRequest | None = None


@dataclass(frozen=True)
class Command:
    """A slash command. takes: what its argument is, in brackets where it may be left out."""

    run: Callable[[Session, str], Outcome]
    help: str
    takes: str = ""

    @property
    def needs_argument(self) -> bool:
        return bool(self.takes) and not self.takes.startswith("[")


def is_command(line: str) -> bool:
    """Not a message that begins with two slashes, nor one of several lines that begins with a slash by chance."""
    if not line.startswith("/") or line.startswith("//"):
        return False
    return "\n" not in line.rstrip() or split(line)[0] in COMMANDS


def split(line: str) -> tuple[str, str]:
    """A command's name and its argument."""
    name, argument = [*line[1:].split(maxsplit=1), "", ""][:2]
    return ALIASES.get(name, name), argument.strip()


def obey(session: Session, line: str) -> Outcome:
    """Raises: AigcError, which leaves the session as it was."""
    name, argument = split(line)
    if name not in COMMANDS:
        near = " or ".join(f"/{match}" for match in difflib.get_close_matches(name, COMMANDS, 2))
        message = f"there is no /{name}" + (f": did you mean {near}?" if near else "")
        raise UsageError(message, "/help lists the commands; a message that begins with a slash is sent with two: //")
    command = COMMANDS[name]
    if command.needs_argument and not argument:
        raise UsageError(f"/{name} wants {command.takes}", f"/{name} {command.takes}: {command.help}")
    if argument and not command.takes:
        raise UsageError(f"/{name} takes nothing after it", f"/{name}: {command.help}")
    return command.run(session, argument)


def show_help(session: Session, argument: str) -> Outcome:
    rows = [(f"/{name} {command.takes}".strip(), command.help) for name, command in COMMANDS.items()]
    keys = [
        ("Alt-Enter", 'a new line; after an opening """ plain Enter is one'),
        ("Ctrl-C", "stop the answer, or clear the line; then leave"),
        ("Ctrl-D", "leave"),
        ("//text", "a message that begins with a slash"),
    ]
    return Outcome(rows=(*rows, *keys))


def leave(session: Session, argument: str) -> Outcome:
    return Outcome(leave=True)


def clear(session: Session, argument: str) -> Outcome:
    session.clear()
    return Outcome(say="a new conversation; the system prompt and the settings stay")


def undo(session: Session, argument: str) -> Outcome:
    need_turn(session)
    question = session.turns.pop().question
    return Outcome(say=f"taken back: {one_line(question)}")


def retry(session: Session, argument: str) -> Outcome:
    need_turn(session)
    return Outcome(ask=session.turns[-1].question, replaces=True)


def edit(session: Session, argument: str) -> Outcome:
    need_turn(session)
    return Outcome(draft=session.turns[-1].question, replaces=True)


def need_turn(session: Session) -> None:
    if not session.turns:
        raise UsageError("nothing has been asked yet")


def compare(session: Session, argument: str) -> Outcome:
    if session.open_base is None:
        message = "there is no adapter: /ab shows what a model answers without it and with it"
        raise UsageError(message, "begin with one: aigc chat -m MODEL --adapter PATH")
    if not argument:
        need_turn(session)
    return Outcome(compare=session.comparison(argument))


def set_system(session: Session, argument: str) -> Outcome:
    if argument:
        session.system = None if argument == "-" else argument
    return Outcome(say=f"system prompt: {session.system}" if session.system else "no system prompt")


def set_parameter(session: Session, argument: str) -> Outcome:
    name, _, value = argument.partition(" ")
    name = full_name(name)
    if value := value.strip():
        parameters = with_parameter(session.parameters, name, value)
        checked({**session.standing, **parameters})
        session.parameters = parameters
    return Outcome(say=f"{name} {session.in_force.get(name, '(the default)')}")


def show(session: Session, argument: str) -> Outcome:
    loaded = session.engine.loaded
    rows = [("model", loaded.model), *(("adapter", name) for name in loaded.adapters or ())]
    rows += [("device", f"{loaded.device} in {loaded.dtype}")]
    rows += [("context", f"{loaded.context_length:,} tokens")] if loaded.context_length else []
    rows += [("system", session.system or "(none)")]
    rows += [(name, str(value)) for name, value in session.in_force.items()]
    rows += [("attached", one_line(text)) for text in session.attached]
    rows += [("file", str(session.file))] if session.file else []
    return Outcome(rows=tuple(rows))


def switch_model(session: Session, argument: str) -> Outcome:
    had_adapter = session.engine.loaded.adapters
    session.switch(argument)
    loaded = session.engine.loaded
    rest = ", without the adapter" if had_adapter else ""
    return Outcome(say=f"{loaded.model} on {loaded.device} in {loaded.dtype}{rest}")


def save(session: Session, argument: str) -> Outcome:
    name = argument.removeprefix("--overwrite ").strip()
    path = named_file(name) if name else session.file
    if path is None:
        raise UsageError("/save wants FILE", "a name that ends in .md saves Markdown, any other JSON")
    if path.exists() and path != session.file and name == argument:
        raise UsageError(f"{path} is there already", f"/save --overwrite {name}")
    save_transcript(path, Transcript(tuple(session.turns), session.system, session.engine.loaded.model, session.parameters))
    session.file = path
    return Outcome(say=f"saved {count_turns(session)}: {path}")


def load(session: Session, argument: str) -> Outcome:
    return restore(session, named_file(argument))


def restore(session: Session, path: Path) -> Outcome:
    """Puts a file's conversation in this one's place; the model stays."""
    transcript = load_transcript(path)
    session.clear()
    session.turns, session.system, session.parameters = list(transcript.turns), transcript.system, transcript.parameters
    session.file = transcript.file
    other = transcript.model if transcript.model != session.engine.loaded.model else None
    note = f"; it was with {other}: /model {other}" if other else ""
    return Outcome(say=f"loaded {count_turns(session)}{note}", draft=transcript.question)


def count_turns(session: Session) -> str:
    return "1 turn" if len(session.turns) == 1 else f"{len(session.turns)} turns"


def attach(session: Session, argument: str) -> Outcome:
    text = read_text(named_file(argument))
    session.attached.append(text.strip("\n"))
    return Outcome(say=f"{len(text):,} characters of {argument} go before your next message")


def tokens(session: Session, argument: str) -> Outcome:
    """Counts whole conversations, for a turn's own tokens depend on the template around them."""
    counts = [session.engine.count_tokens(to_messages(session.system, session.turns[: at + 1])) for at in range(len(session.turns))]
    known = [0, *(count for count in counts if count is not None)]
    if len(known) <= len(counts):
        return Outcome(say="only the remote end can count this model's tokens; each answer's line says what it reported")
    limit = session.engine.loaded.context_length
    width = len(f"{known[-1]:,}")
    each = zip(pairwise(known), session.turns, strict=True)
    rows = [(f"{after - before:{width},}", one_line(turn.question)) for (before, after), turn in each]
    return Outcome(rows=(*rows, (f"{known[-1]:,}", f"in all, of {limit:,}" if limit else "in all")))


def stats(session: Session, argument: str) -> Outcome:
    if not session.finished:
        raise UsageError("nothing has been answered yet")
    generated = sum(done.completion_tokens or 0 for done in session.finished)
    read = sum(done.prompt_tokens or 0 for done in session.finished)
    cached = sum(done.cached_tokens or 0 for done in session.finished)
    speeds = [done.tokens_per_second for done in session.finished if done.tokens_per_second]
    waits = [done.ttft for done in session.finished if done.ttft is not None]
    rows = [
        ("answers", f"{len(session.finished)}, in {sum(done.seconds for done in session.finished):.1f} s"),
        ("read", f"{read:,} tokens" + (f", {cached:,} of them out of the cache" if cached else "")),
        ("written", f"{generated:,} tokens"),
    ]
    rows += [("speed", f"{median(speeds):.1f} tokens/s (median)")] if speeds else []
    rows += [("first token", f"after {median(waits):.2f} s (median), {max(waits):.2f} s at most")] if waits else []
    return Outcome(rows=tuple(rows))


def named_file(name: str) -> Path:
    """A file's name as people type it: perhaps quoted, perhaps from their home folder."""
    if len(name) > 1 and name[0] == name[-1] and name[0] in "'\"":
        name = name[1:-1]
    return Path(name).expanduser()


COMMANDS: dict[str, Command] = {
    "help": Command(show_help, "show this"),
    "exit": Command(leave, "leave"),
    "clear": Command(clear, "begin a new conversation"),
    "undo": Command(undo, "take back the last question and its answer"),
    "retry": Command(retry, "ask the last question again"),
    "edit": Command(edit, "change the last question and ask it again"),
    "ab": Command(compare, "show what the model answers without its adapter and with it; changes nothing", "[MESSAGE]"),
    "system": Command(set_system, "show or set the system prompt; - removes it", "[TEXT]"),
    "set": Command(set_parameter, "set an option by its flag's name; default resets it", "NAME [VALUE]"),
    "show": Command(show, "show the model, the device and the settings"),
    "model": Command(switch_model, "go on with another model", "NAME"),
    "save": Command(save, "save as JSON, or as Markdown if FILE ends in .md", "[FILE]"),
    "load": Command(load, "go on with a saved conversation", "FILE"),
    "file": Command(attach, "put a file's text before your next message", "PATH"),
    "tokens": Command(tokens, "count the tokens of each turn"),
    "stats": Command(stats, "show what the answers took"),
}
ALIASES = {"quit": "exit", "bye": "exit", "?": "help"}

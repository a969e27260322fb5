"""The session: read a line, obey or answer, again."""

from __future__ import annotations

from contextlib import closing

from aigc_cli.chat.prompt import LineEditor, message_text
from aigc_cli.chat.session import Session
from aigc_cli.chat.slash import Outcome, is_command, obey
from aigc_cli.chat.terminal import keys_wait, one_interrupt
from aigc_cli.core.errors import AigcError, ContextOverflowError, OutOfMemoryError
from aigc_cli.core.request import TextRequest
from aigc_cli.render.chat import ChatView


def converse(session: Session, editor: LineEditor, view: ChatView, outcome: Outcome) -> None:
    """Until the user leaves; `outcome` comes before the first line. An error or Ctrl-C ends a turn, never the session."""
    with keys_wait():
        while (line := editor.read(outcome.draft, after_stop=outcome.stopped)) is not None:
            try:
                outcome = respond(line, outcome, session, view)
            except KeyboardInterrupt:
                outcome = given_back(line, outcome, stopped=True)
            except BrokenPipeError:
                raise
            except Exception as error:
                view.error(explained(error, session), error)
                outcome = given_back(line, outcome)
            if outcome.leave:
                return


def respond(line: str, before: Outcome, session: Session, view: ChatView) -> Outcome:
    """Obeys or answers one line. `before` is what the last line led to: this one may be its draft."""
    if not is_command(line):
        question = message_text(line)
        return answer(session, question, before.replaces, view) if question else Outcome()
    outcome = obey(session, line)
    view.tell(outcome.say, outcome.rows)
    if outcome.compare:
        compare(session, outcome.compare, view)
    return answer(session, outcome.ask, outcome.replaces, view) if outcome.ask else outcome


def answer(session: Session, question: str, replaces: bool, view: ChatView) -> Outcome:
    """One turn. Raises: KeyboardInterrupt when it was stopped before anything was said."""
    turns = session.turns
    try:
        with one_interrupt(), closing(session.ask(question, replace_last=replaces)) as events:
            done = view.answer(events)
    except KeyboardInterrupt:
        if session.turns is turns:
            raise
        view.note("stopped; what was said stays in the conversation")
        return Outcome(stopped=True)
    if session.turns is turns:
        view.note("an empty answer: neither it nor your message is kept")
    if done:
        view.took(done, session.engine.loaded.context_length)
    return Outcome()


def compare(session: Session, request: TextRequest, view: ChatView) -> None:
    """What base and tuned answer, in this order. The base is loaded at the first comparison."""
    if session.base is None:
        assert session.open_base is not None
        session.base = session.open_base()
    base, tuned = session.base, session.engine
    headings = [f"base: {base.loaded.model}", f"tuned: {', '.join(tuned.loaded.adapters or ())}"]
    with one_interrupt(), closing(base.stream(request)) as before, closing(tuned.stream(request)) as after:
        view.compare(list(zip(headings, (before, after), strict=True)), session.engine.loaded.context_length)


def given_back(line: str, before: Outcome, *, stopped: bool = False) -> Outcome:
    """A message that was not answered is the draft of the next one; a command is not."""
    if is_command(line):
        return Outcome(stopped=stopped)
    return Outcome(draft=line, replaces=before.replaces, stopped=stopped)


def explained(error: Exception, session: Session) -> AigcError:
    """An error as a user of the session may read it, with what to do about it here."""
    if isinstance(error, ContextOverflowError):
        can_drop = session.turns and not session.in_force.get("truncate")
        rest = "/set truncate oldest drops the oldest turns; /undo or /clear makes room"
        alone = "shorten the message, /set max-new-tokens lower, or /set truncate middle to cut it"
        return ContextOverflowError(error.message, rest if can_drop else alone)
    if isinstance(error, AigcError):
        return error
    if isinstance(error, MemoryError):
        return OutOfMemoryError("out of memory", "try a smaller /model, or /clear")
    hint = "this is a bug, or a model that aigc does not know; /save FILE keeps the conversation"
    return AigcError(f"{type(error).__name__}: {error}", hint)

"""From a request to the token ids that the model will see, counted and, if asked, cut to fit."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any, Literal

from aigc_cli.core.conversation import PLAIN_STOPS, fit_turns, middle_cut, plain_transcript
from aigc_cli.core.errors import AigcError, ContextOverflowError, UsageError
from aigc_cli.core.request import DEFAULT_MAX_NEW_TOKENS, Message, TextRequest, Truncate

TEMPLATE_HINT = "it may take no system prompt, or be broken; aigc complete --raw goes without it"
TEMPLATE_SECONDS = 2.0  # a chat template is a program from somebody else
CHARACTERS_PER_TOKEN = 32  # more than any text has on average: what is longer than a context of these cannot fit it
CHUNK_CHARACTERS = 2**16  # a text that only needs to be counted is tokenised in pieces, so that memory stays flat


@dataclass(frozen=True)
class Prompt:
    """What the model is given.

    ids: the prompt's tokens (the encoder's, for an encoder-decoder).  max_new_tokens: what may follow.
    stops: strings that end the reply, besides the request's own.  in_reasoning: the template has opened the
    thoughts.  kept, dropped: tokens, when the input was cut.
    """

    ids: list[int]
    mode: Literal["chat", "raw"]
    max_new_tokens: int
    stops: tuple[str, ...] = ()
    in_reasoning: bool = False
    kept: int | None = None
    dropped: int | None = None


class Prompter:
    """A tokenizer with what is known of its model.

    context_length: positions the model has, None if it has no limit.  decodes_apart: whether the reply has a
    context of its own, as in an encoder-decoder.  default_mode: what the model is meant for.
    """

    def __init__(
        self, tokenizer: Any, context_length: int | None, decodes_apart: bool, default_mode: Literal["chat", "raw"] | None
    ) -> None:
        self.tokenizer = tokenizer
        self.context_length = context_length
        self.decodes_apart = decodes_apart
        self.has_template = bool(tokenizer.chat_template)
        self.default_mode: Literal["chat", "raw"] = default_mode or ("chat" if self.has_template else "raw")

    def prompt(self, request: TextRequest) -> Prompt:
        """Raises: ContextOverflowError with the numbers, UsageError where the chat template refuses."""
        mode = self.default_mode if request.mode == "auto" else request.mode
        if mode == "raw" and len(request.messages) != 1:
            raise UsageError("this model continues one text and takes no system prompt", "leave out --system, or use --instruct")
        room = self._room(request)
        messages, left_out = self._without_excess(request, mode, room)
        whole = self._encode(messages, mode)
        if room is None or len(whole) <= room:
            prompt = Prompt(whole, mode, 0)
        elif request.truncate is None:
            raise self._overflow(f"{len(whole)}", request)
        else:
            prompt = self._truncated(messages, mode, whole, room, request.truncate)
        if not prompt.ids:
            raise UsageError("nothing is left of the prompt once it is in the model's own format", "its chat template leaves nothing of it")
        if left_out:
            prompt = replace(prompt, kept=len(prompt.ids), dropped=(prompt.dropped or 0) + left_out)
        text = "" if mode == "raw" or not self.has_template else self.tokenizer.decode(prompt.ids[-16:])
        return replace(
            prompt,
            max_new_tokens=self._max_new_tokens(request, len(prompt.ids)),
            stops=PLAIN_STOPS if mode == "chat" and not self.has_template else (),
            in_reasoning=text.rstrip().endswith(("<think>", "<thinking>", "<reasoning>")),
        )

    def count(self, messages: tuple[Message, ...]) -> int:
        """Tokens of the conversation as the model will see it in a chat."""
        return len(self._encode(messages, "chat"))

    def _encode(self, messages: tuple[Message, ...], mode: str) -> list[int]:
        if mode == "raw":
            return list(self.tokenizer(messages[-1].content).input_ids)
        if not self.has_template:
            return list(self.tokenizer(plain_transcript(messages)).input_ids)
        turns = [{"role": message.role, "content": message.content} for message in messages]
        with template_guard():
            text = self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def _without_excess(self, request: TextRequest, mode: str, room: int | None) -> tuple[tuple[Message, ...], int]:
        """Spares the tokenizer a text that is many times too long: it is refused, or cut roughly before it is cut exactly.

        Returns: the messages, and about how many tokens were left out of the longest.
        """
        messages = request.messages
        whole_turns = request.truncate == "oldest" and mode == "chat"
        at = len(messages) - 1 if whole_turns else longest(messages)  # of whole turns, the last is the one that must fit
        text, limit = messages[at].content, CHARACTERS_PER_TOKEN * (self.context_length or 0)
        if room is None or len(text) <= 2 * limit:
            return messages, 0
        if request.truncate is None or whole_turns:
            certainly_above = 1.1 * room + 16  # counting in pieces gives a little more than there are
            if self._count_in_pieces(text, stop_above=certainly_above) > certainly_above:
                raise self._overflow(f"more than {room}", request)
            return messages, 0
        head, tail = text[:limit] if request.truncate == "middle" else "", text[-limit:]
        left_out = self._count_in_pieces(text[len(head) : len(text) - len(tail)])
        return (*messages[:at], replace(messages[at], content=head + tail), *messages[at + 1 :]), left_out

    def _count_in_pieces(self, text: str, stop_above: float = math.inf) -> int:
        """About how many tokens a text has; those at the borders of pieces may be counted twice."""
        count = 0
        for begin in range(0, len(text), CHUNK_CHARACTERS):
            count += len(self.tokenizer(text[begin : begin + CHUNK_CHARACTERS], add_special_tokens=False).input_ids)
            if count > stop_above:
                break
        return count

    def _room(self, request: TextRequest) -> int | None:
        """Tokens that the prompt may have; at least one is left for the reply."""
        if self.context_length is None or self.decodes_apart:
            return self.context_length
        reply = request.max_new_tokens or max(1, request.min_new_tokens)
        if request.max_new_tokens is None and request.truncate:  # a cut prompt should leave room for a real reply
            reply = max(reply, min(DEFAULT_MAX_NEW_TOKENS, self.context_length // 4))
        return max(0, self.context_length - reply)

    def _max_new_tokens(self, request: TextRequest, prompt_length: int) -> int:
        """Raises: ContextOverflowError where the reply has a context of its own and asks for more."""
        wanted = request.max_new_tokens or max(DEFAULT_MAX_NEW_TOKENS, request.min_new_tokens)
        if self.context_length is None:
            return wanted
        room = self.context_length - (1 if self.decodes_apart else prompt_length)
        if room < (request.max_new_tokens or request.min_new_tokens):
            raise ContextOverflowError(f"{length_asked(request)} is more than the {room} tokens that this model can write", "ask for less")
        return min(wanted, room)

    def _overflow(self, prompt_length: str, request: TextRequest) -> ContextOverflowError:
        asked = f" and {length_asked(request)}" if length_asked(request) else ""
        return ContextOverflowError(
            f"the prompt has {prompt_length} tokens{asked}; the model's context holds {self.context_length}",
            "shorten it, ask for a shorter reply, or allow a cut with --truncate oldest or --truncate middle"
            if (request.max_new_tokens or 0) < (self.context_length or 0)
            else "ask for a shorter reply",
        )

    def _truncated(self, messages: tuple[Message, ...], mode: Literal["chat", "raw"], whole: list[int], room: int, how: Truncate) -> Prompt:
        if mode == "raw":
            ids = self._cut_raw(whole, room, how)
            return Prompt(ids, mode, 0, kept=len(ids), dropped=len(whole) - len(ids))
        if how == "oldest":
            fitted = fit_turns(messages, room, self.count)
            return Prompt(self._encode(fitted.messages, mode), mode, 0, kept=fitted.kept, dropped=fitted.dropped)
        ids = self._cut_message(messages, len(whole), room)
        return Prompt(ids, mode, 0, kept=len(ids), dropped=len(whole) - len(ids))

    def _cut_raw(self, whole: list[int], room: int, how: Truncate) -> list[int]:
        """Keeps the tokens that the tokenizer itself puts before and after every text."""
        lead = len(self.tokenizer("").input_ids)
        starts = lead and whole[:lead] == self.tokenizer("").input_ids
        head = whole[:lead] if starts else []
        body, budget = whole[len(head) :], room - len(head)
        first, last = middle_cut(len(body), budget) if how == "middle" else (0, budget)
        return head + body[:first] + body[len(body) - last :]

    def _cut_message(self, messages: tuple[Message, ...], length: int, room: int) -> list[int]:
        """Cuts the middle out of the longest message that is not the system's, until all fits."""
        at = longest(messages)
        ids = self.tokenizer(messages[at].content, add_special_tokens=False).input_ids
        budget = len(ids) - (length - room)
        while True:  # decoding and encoding again may give a few tokens more
            first, last = middle_cut(len(ids), budget)
            text = self.tokenizer.decode(ids[:first]) + self.tokenizer.decode(ids[len(ids) - last :])
            shorter = (*messages[:at], replace(messages[at], content=text), *messages[at + 1 :])
            encoded = self._encode(shorter, "chat")
            if len(encoded) <= room:
                return encoded
            budget -= len(encoded) - room


def longest(messages: tuple[Message, ...]) -> int:
    """The position of the longest message that is not the system's."""
    return max((i for i, message in enumerate(messages) if message.role != "system"), key=lambda i: len(messages[i].content))


def length_asked(request: TextRequest) -> str:
    """The flag that says how long the reply must be able to get; empty where none does."""
    if request.max_new_tokens is not None:
        return f"--max-new-tokens {request.max_new_tokens}"
    return f"--min-new-tokens {request.min_new_tokens}" if request.min_new_tokens else ""


@contextmanager
def template_guard() -> Iterator[None]:
    """Bounds a chat template's time, and turns what it raises into an error a user can read."""
    bounded = threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")
    if bounded:
        previous = signal.signal(signal.SIGALRM, raise_template_timeout)
        signal.setitimer(signal.ITIMER_REAL, TEMPLATE_SECONDS)
    try:
        yield
    except AigcError:
        raise
    except (Exception, MemoryError) as error:  # whatever somebody else's program may raise
        reason = str(error) or type(error).__name__
        raise UsageError(f"the model's chat template refuses this conversation: {reason}", TEMPLATE_HINT) from error
    finally:
        if bounded:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)


def raise_template_timeout(signum: int, frame: FrameType | None) -> None:
    raise UsageError(f"the model's chat template ran for more than {TEMPLATE_SECONDS:g} s", "it may be broken or hostile")

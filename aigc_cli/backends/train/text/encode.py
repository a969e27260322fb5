"""Samples -> token ids, each to be learnt or not: what `aigc complete` and `aigc chat` will feed later, and the answers to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from aigc_cli.backends.prompting import Prompter
from aigc_cli.backends.train.text.chat_format import ChatFormat
from aigc_cli.backends.train.text.chat_masks import Unmaskable
from aigc_cli.backends.train.text.marked_text import MarkedText, MarkedTokens, MarkingTokenizer
from aigc_cli.backends.train.text.questions import Question, question_of
from aigc_cli.core.errors import UsageError
from aigc_cli.core.request import Mode
from aigc_cli.core.sample import ChatSample, CompletionSample, Sample, TextSample, Turn


@dataclass(frozen=True)
class Encoded:
    """A row as tokens. trained: for each token, whether it is learnt; never the first, which nothing comes before.

    length: tokens before the cut to max_length.  left_out: why nothing can be learnt from the row; ids is then empty.
    is_cut_away: left out for the cut alone.
    """

    ids: list[int]
    trained: list[bool]
    length: int
    left_out: str = ""
    is_cut_away: bool = False

    def windows(self, width: int) -> list[Encoded]:
        """A text too long for one row, as several: each begins with the last token of the one before, so that all are learnt."""
        if len(self.ids) <= width:
            return [self]
        begins = range(0, len(self.ids) - 1, width - 1)
        return [replace(self, ids=self.ids[at : at + width], trained=[False, *self.trained[at + 1 : at + width]]) for at in begins]


class Encoder:
    """Makes tokens of samples for one model.

    default_mode: what the model is meant for, None if that is not known.  end_ids: the tokens at which it stops writing,
    None for its tokenizer's end-of-text token.
    train_on: "completion" for answers alone; "all" for everything but the assistant's turns that a row itself excludes.
    cautions: what the user should know, each said once; more may come as samples are encoded.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        mode: Mode,
        default_mode: Literal["chat", "raw"] | None,
        max_length: int,
        train_on: Literal["completion", "all"],
        end_ids: Sequence[int] | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.trains_prompts = train_on == "all"
        self.end_id: int | None = tokenizer.eos_token_id
        self.end_ids = frozenset([self.end_id] if end_ids is None else end_ids)
        self.cautions: list[str] = []
        self.chat = ChatFormat(tokenizer, self.trains_prompts)
        self._marking = MarkingTokenizer(tokenizer)
        self._asked_mode = mode
        self._default_mode = Prompter(tokenizer, None, False, default_mode).default_mode
        self._modes: set[Literal["chat", "raw"]] = set()  # of the samples encoded so far

    @property
    def mode(self) -> Literal["chat", "raw"]:
        """How the trained model should be asked, going by the samples encoded so far: of several ways, as in a chat."""
        if not self._modes:
            return self._default_mode if self._asked_mode == "auto" else self._asked_mode
        return "chat" if "chat" in self._modes else "raw"

    def mode_of(self, sample: Sample) -> Literal["chat", "raw"]:
        """How the model should be asked once it has learnt from this sample.

        Raises: UsageError where the mode asked for does not suit the sample.
        """
        match sample:
            case TextSample():
                if self._asked_mode == "chat":
                    raise UsageError("the data are plain text, in which nobody asks and answers", "leave the mode at auto")
                return "raw"
            case ChatSample():
                if self._asked_mode == "raw":
                    raise UsageError("the data are conversations, for which raw mode has no format", "leave the mode at auto")
                return "chat"
            case CompletionSample(is_instruction=is_instruction):
                if self._asked_mode != "auto":
                    return self._asked_mode
                return "chat" if is_instruction else self._default_mode

    def prompt_of(self, sample: Sample) -> Question | None:
        """What to ask so that the answer can be compared with the row's; None where there is nothing to ask."""
        return question_of(sample, self.mode_of(sample), self.tokenizer)

    def encode(self, samples: Sequence[Sample]) -> list[Encoded]:
        """One result for each sample, cut at its end to max_length; plain text is whole, for its windows to be taken.

        Raises: UsageError where the mode asked for does not suit a sample.
        """
        drafts = [self._draft(sample) for sample in samples]
        marked = iter(self._marking.tokenize([draft for draft in drafts if isinstance(draft, MarkedText)]))
        tokens = [draft if isinstance(draft, Unmaskable) else next(marked) for draft in drafts]
        return [self._finished(row, sample) for row, sample in zip(tokens, samples, strict=True)]

    def _draft(self, sample: Sample) -> MarkedText | Unmaskable:
        mode = self.mode_of(sample)
        self._modes.add(mode)
        match sample:
            case TextSample(text=text):
                return MarkedText(text, ((0, len(text)),), adds_special=True)
            case CompletionSample(prompt=prompt, completion=completion) if mode == "raw":
                border, end = len(prompt), len(prompt) + len(completion)
                spans = ((0, border), (border, end)) if self.trains_prompts and border else ((border, end),)
                return MarkedText(prompt + completion, spans, adds_special=True)
            case CompletionSample(prompt=prompt, completion=completion):
                turns: tuple[Turn, ...] = (Turn("user", prompt, False), Turn("assistant", completion, True))
            case ChatSample(turns=turns):
                pass
        try:
            return self.chat.draft(turns)
        except UsageError as refusal:
            return Unmaskable(refusal.message)
        except Unmaskable as reason:
            return reason

    def _finished(self, tokens: MarkedTokens | Unmaskable, sample: Sample) -> Encoded:
        """With the end-of-text token where no end-of-turn is, without what follows the last trained token, and cut."""
        if isinstance(tokens, Unmaskable):
            return Encoded([], [], 0, str(tokens))
        in_template = self.mode_of(sample) == "chat" and self.chat.has_template
        if in_template:
            self._check_end_of_turn(tokens)
        ids, trained = (tokens.ids, tokens.trained) if in_template else self._with_end(tokens)
        length = 1 + next((at for at in reversed(range(1, len(ids))) if trained[at]), 0)
        if length == 1:
            return Encoded([], [], len(ids), "nothing in it can be learnt")
        kept = length if isinstance(sample, TextSample) else min(length, self.max_length)
        if not any(trained[1:kept]):
            why = f"of its {length} tokens {kept} are kept, and what is to be learnt comes after them"
            return Encoded([], [], length, why, is_cut_away=True)
        return Encoded(ids[:kept], [False, *trained[1:kept]], length)

    def _with_end(self, tokens: MarkedTokens) -> tuple[list[int], list[bool]]:
        if self.end_id is None:
            self._caution("the tokenizer has no end-of-text token: the model will not learn where to stop")
        elif tokens.trained and tokens.trained[-1] and tokens.ids[-1] != self.end_id:
            return [*tokens.ids, self.end_id], [*tokens.trained, True]
        return tokens.ids, tokens.trained

    def _check_end_of_turn(self, tokens: MarkedTokens) -> None:
        end_id = self.chat.end_of_turn
        if self.chat.shape.withheld:
            opening = repr(self.chat.shape.withheld)
            self._caution(f"asked for an answer, the chat template opens it with {opening}, which conversations in it do not have")
        if end_id is None:
            self._caution("the chat template puts nothing after an answer: the model will not learn where to stop")
            return
        end = self.chat.shape.end_of_turn.strip()
        last = next((at for at in reversed(range(len(tokens.ids))) if tokens.trained[at]), 0)
        if not self.trains_prompts and tokens.ids[last] != end_id:
            self._caution(f"the chat template does not mark {end} as the assistant's: the model will not learn where to stop")
        if end_id not in self.end_ids:
            self._caution(f"in the chat template an answer ends with {end}, at which this model does not stop by itself")

    def _caution(self, message: str) -> None:
        if message not in self.cautions:
            self.cautions.append(message)

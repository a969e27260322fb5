"""Texts with spans to learn -> tokens, each of which is either to be learnt or not.

A model is asked with a prompt's tokens alone, so a token that reaches over the border between prompt and answer, or a
prompt that is cut differently when an answer follows, would teach something that never happens in use. Where the
whole text gives such tokens, prompt and answer are tokenised apart.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from aigc_cli.backends.train.text.chat_masks import Span, Unmaskable

ANCHORS = ("\n", "a")  # put before a text to see its tokens as those of a continuation


@dataclass(frozen=True)
class MarkedText:
    """spans: characters to learn, in order, none overlapping; each begins where a prompt ends, or at 0.

    adds_special: whether the tokenizer puts the tokens around it that it puts around every text.
    """

    text: str
    spans: tuple[Span, ...]
    adds_special: bool


@dataclass(frozen=True)
class MarkedTokens:
    """trained: for each token, whether it is to be learnt."""

    ids: list[int]
    trained: list[bool]


class MarkingTokenizer:
    """A tokenizer that carries spans of characters over to tokens."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.added_ids = frozenset(tokenizer.added_tokens_decoder)
        plain, whole = self._ids("a", False), self._ids("a", True)
        self.lead = next((at for at in range(len(whole)) if whole[at : at + len(plain)] == plain), 0)
        self.trail = len(whole) - self.lead - len(plain)
        newline = self._ids("\n", False)
        self.opens_with_space = self._ids("\na", False)[len(newline) :] != plain  # as SentencePiece does
        self.short_prompt_ids = lru_cache(maxsize=256)(lambda text: self._ids(text, False))

    def tokenize(self, texts: Sequence[MarkedText]) -> list[MarkedTokens | Unmaskable]:
        """One answer for each text; where its tokens cannot be told apart, that is the reason."""
        done: dict[int, MarkedTokens | Unmaskable] = {}
        for adds_special in (True, False):
            chosen = [number for number, text in enumerate(texts) if text.adds_special == adds_special]
            if not chosen:
                continue
            offsets = {"return_offsets_mapping": True} if self.tokenizer.is_fast else {}
            batch = self.tokenizer([texts[number].text for number in chosen], add_special_tokens=adds_special, verbose=False, **offsets)
            for row, number in enumerate(chosen):
                ids = self._without_trail(batch["input_ids"][row], adds_special)
                starts = [start for start, _ in batch["offset_mapping"][row]][: len(ids)] if offsets else None
                try:
                    done[number] = self._marked(texts[number], ids, starts)
                except Unmaskable as reason:
                    done[number] = reason
        return [done[number] for number in range(len(texts))]

    def _ids(self, text: str, adds_special: bool) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=adds_special, verbose=False).input_ids)

    def _without_trail(self, ids: list[int], adds_special: bool) -> list[int]:
        return ids[: len(ids) - self.trail] if adds_special else ids

    def _marked(self, marked: MarkedText, ids: list[int], starts: list[int] | None) -> MarkedTokens:
        """starts: the character at which each token begins; None from a tokenizer that does not know."""
        if starts is None:
            return self._in_pieces(marked, ids)
        trained = [False] * len(ids)
        for begin, end in marked.spans:
            first = self._first_token(marked, ids, starts, begin)
            if first is None:
                return self._in_pieces(marked, ids)
            last = bisect_left(starts, end, lo=first)
            trained[first:last] = [True] * (last - first)
        return MarkedTokens(ids, trained)

    def _first_token(self, marked: MarkedText, ids: list[int], starts: list[int], begin: int) -> int | None:
        """Where a span begins; None if the tokens before it are not those of the prompt alone.

        Tokens do not depend on what stands before a special token, so it is enough to look back to one.
        """
        if begin == 0:
            return 0
        at, prompt = 0, None
        for before in range(bisect_left(starts, begin) - 1, (self.lead if marked.adds_special else 0) - 1, -1):
            if ids[before] in self.added_ids:
                at, prompt = before, self.short_prompt_ids(marked.text[starts[before] : begin])
                break
        if prompt is None:
            prompt = self._ids(marked.text[:begin], marked.adds_special)
        return at + len(prompt) if ids[at : at + len(prompt)] == prompt else None

    def _in_pieces(self, marked: MarkedText, whole: list[int]) -> MarkedTokens:
        """Cut at both ends of every span, each piece tokenised by itself.

        Raises: Unmaskable unless the pieces together say what the whole does.
        """
        cuts = sorted({0, *(at for span in marked.spans for at in span), len(marked.text)})
        begins = {begin for begin, _ in marked.spans}
        ids, trained = [], []
        for begin, end in pairwise(cuts):
            piece = self._continuation(marked.text[begin:end]) if begin else self._ids(marked.text[:end], marked.adds_special)
            if end - begin == len(marked.text):
                piece = self._without_trail(piece, marked.adds_special)
            ids += piece
            trained += [begin in begins] * len(piece)
        decode = self.tokenizer.decode
        if ids != whole and decode(ids, skip_special_tokens=True) != decode(whole, skip_special_tokens=True):
            raise Unmaskable("its tokens say something else when prompt and answer are cut apart")
        return MarkedTokens(ids, trained)

    def _continuation(self, text: str) -> list[int]:
        """The tokens of a text that follows another: without the space that some tokenizers open every text with."""
        if not self.opens_with_space:
            return self._ids(text, False)
        for anchor in ANCHORS:
            head, ids = self._ids(anchor, False), self._ids(anchor + text, False)
            if ids[: len(head)] == head:
                return ids[len(head) :]
        raise Unmaskable("its tokenizer joins prompt and answer, however they are cut")

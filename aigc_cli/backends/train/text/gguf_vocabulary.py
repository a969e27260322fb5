"""A tokenizer as GGUF stores it: tokens, types, merges or scores, and the name of the way it cuts text before merging.

llama.cpp has the cutting built in, by name; a tokenizer that cuts in another way would give other tokens there, and is
refused. Names and patterns: src/llama-vocab.cpp of llama.cpp.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gguf.constants import TokenType

from aigc_cli.core.errors import UsageError

SPACE = "\u2581"  # SentencePiece's sign for a space
DIGITS, GPT2 = "single digits", "GPT-2"
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3 = QWEN2.replace(r"\p{N}|", r"\p{N}{1,3}|", 1)
CUTS: dict[tuple[str, ...], dict[bool, str]] = {  # what is cut -> whether a token that is there whole needs no merges -> name
    (GPT2,): {False: "gpt-2"},
    (DIGITS, GPT2): {False: "smollm"},
    (QWEN2,): {False: "qwen2"},
    (LLAMA3,): {False: "smaug-bpe", True: "llama-bpe"},
}
PATTERNS = {  # other spellings of the same
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+": GPT2,
    r"\p{N}": DIGITS,
}


@dataclass(frozen=True)
class Vocabulary:
    """model: "gpt2" for byte-level BPE, "llama" for SentencePiece's BPE.  pre: llama.cpp's name for the way of cutting.

    merges: of "gpt2"; scores, add_space_prefix: of "llama".
    """

    model: str
    pre: str
    tokens: list[str]
    types: list[int]
    add_bos: bool
    add_eos: bool
    merges: list[str] | None = None
    scores: list[float] | None = None
    add_space_prefix: bool | None = None
    cautions: tuple[str, ...] = ()


def read_vocabulary(tokenizer: Any, size: int) -> Vocabulary:
    """size: rows of the model's embedding; those without a token are filled up.

    Raises: UsageError for a tokenizer that llama.cpp has no equal of.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise unsupported("it has no tokenizer.json")
    if len(tokenizer) > size:
        message = f"the tokenizer has {len(tokenizer)} tokens and the model only {size}"
        raise UsageError(message, "tokenizer and model do not belong together")
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    kind = parts["model"].get("type")
    if kind != "BPE":
        raise unsupported(f"it is of the kind {kind}")
    return sentencepiece(tokenizer, parts, size) if parts["model"].get("byte_fallback") else byte_level(tokenizer, parts, size)


def unsupported(reason: str) -> UsageError:
    known = "byte-level BPE cut as GPT-2, SmolLM, Qwen 2 or Llama 3 cut text, and SentencePiece's BPE with byte fallback"
    return UsageError(f"GGUF cannot hold this tokenizer: {reason}", f"there is: {known}; --to merged works with any")


def byte_level(tokenizer: Any, parts: dict[str, Any], size: int) -> Vocabulary:
    normalizer = (parts["normalizer"] or {}).get("type")
    if normalizer not in (None, "NFC"):
        raise unsupported(f"it changes text first ({normalizer})")
    cut = tuple(cuts(parts["pre_tokenizer"]))
    names = CUTS.get(cut)
    if names is None:
        raise unsupported(f"it cuts text in a way of its own ({', '.join(cut) or 'not at all'})")
    ignore_merges = bool(parts["model"].get("ignore_merges"))
    if ignore_merges not in names:
        raise unsupported(f"it cuts text as {names[not ignore_merges]} does, with ignore_merges {ignore_merges}")
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in parts["model"]["merges"]]
    add_bos, add_eos = added_around(tokenizer)
    caution = "the tokenizer composes characters (NFC) and llama.cpp does not: text that is not composed gets other tokens there"
    return Vocabulary(
        "gpt2",
        names[ignore_merges],
        *tokens_and_types(tokenizer, size),
        add_bos,
        add_eos,
        merges=merges,
        cautions=(caution,) if normalizer else (),
    )


def cuts(step: dict[str, Any] | None) -> list[str]:
    """The ways in which a pre-tokenizer cuts text, one after the other; bytes are spelt as letters at the end."""
    match step:
        case {"type": "Sequence", "pretokenizers": list(steps)}:
            return [cut for inner in steps for cut in cuts(inner)]
        case {"type": "ByteLevel", "add_prefix_space": False, "use_regex": bool(use_regex)}:
            return [GPT2] if use_regex else []
        case {"type": "Digits", "individual_digits": True}:
            return [DIGITS]
        case {"type": "Split", "pattern": {"Regex": str(pattern)}, "behavior": "Isolated", "invert": False}:
            return [PATTERNS.get(pattern, pattern)]
        case None:
            return []
    return [json.dumps(step)]


def sentencepiece(tokenizer: Any, parts: dict[str, Any], size: int) -> Vocabulary:
    """Merges become scores: SentencePiece merges the pair whose result has the highest score."""
    tokens, types = tokens_and_types(tokenizer, size)
    merges = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in parts["model"]["merges"]]
    scores = scores_of(merges, tokens, types)
    for index, token in enumerate(tokens):
        if types[index] == TokenType.NORMAL and is_byte(token):
            types[index] = TokenType.BYTE
        elif token == parts["model"].get("unk_token"):
            types[index] = TokenType.UNKNOWN
    add_bos, add_eos = added_around(tokenizer)
    return Vocabulary("llama", "default", tokens, types, add_bos, add_eos, scores=scores, add_space_prefix=puts_space_first(parts))


def scores_of(merges: Sequence[tuple[str, ...]], tokens: Sequence[str], types: Sequence[int]) -> list[float]:
    """Raises: UsageError where scores alone would not lead to these merges, in this order."""
    rank: dict[str, int] = {}
    last = ""
    for index, pair in enumerate(merges):
        token = "".join(pair)
        if token != last and token in rank:
            raise unsupported("its merges do not follow from the order of its tokens")
        rank.setdefault(token, index)
        last = token
    known, pairs = set(tokens), set(merges)
    for token, kind in zip(tokens, types, strict=True):
        halves = [(token[:at], token[at:]) for at in range(1, len(token))]
        if kind == TokenType.NORMAL and not is_byte(token) and any(set(pair) <= known and pair not in pairs for pair in halves):
            raise unsupported(f"it never merges to {token!r} what could be merged to it")
    return [-float(rank.get(token, len(merges) + index)) for index, token in enumerate(tokens)]


def is_byte(token: str) -> bool:
    return len(token) == 6 and token.startswith("<0x") and token.endswith(">")


def puts_space_first(parts: dict[str, Any]) -> bool:
    """Raises: UsageError for spaces that are treated in another way than SentencePiece's."""
    normalizer, cutter = parts["normalizer"], parts["pre_tokenizer"]
    steps = normalizer["normalizers"] if normalizer and normalizer["type"] == "Sequence" else [normalizer] if normalizer else []
    replaces = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    if cutter is None and steps in ([{"type": "Prepend", "prepend": SPACE}, replaces], [replaces]):
        return len(steps) == 2
    if not steps and cutter and cutter["type"] == "Metaspace" and cutter["replacement"] == SPACE and not cutter.get("split"):
        return bool(cutter["prepend_scheme"] != "never")
    raise unsupported("it treats spaces in a way of its own")


def tokens_and_types(tokenizer: Any, size: int) -> tuple[list[str], list[int]]:
    tokens = [f"[PAD{index}]" for index in range(size)]
    types = [int(TokenType.UNUSED)] * size
    for token, index in tokenizer.get_vocab().items():
        tokens[index], types[index] = token, int(TokenType.NORMAL)
    for index, added in tokenizer.added_tokens_decoder.items():
        tokens[index], types[index] = added.content, int(TokenType.CONTROL if added.special else TokenType.USER_DEFINED)
    return tokens, types


def added_around(tokenizer: Any) -> tuple[bool, bool]:
    """Whether every text gets a token before it, and one after. Raises: UsageError where they are not BOS and EOS."""
    bare = tokenizer("x", add_special_tokens=False).input_ids
    whole = tokenizer("x").input_ids
    for before in range(len(whole) - len(bare) + 1):
        if whole[before : before + len(bare)] == bare:
            first, last = whole[:before], whole[before + len(bare) :]
            if first in ([], [tokenizer.bos_token_id]) and last in ([], [tokenizer.eos_token_id]):
                return bool(first), bool(last)
    raise unsupported("it puts other tokens around a text than its BOS and EOS")

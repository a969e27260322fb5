"""A tokenizer for a model that begins from nothing: byte-level BPE, trained on the corpus (arXiv:1508.07909).

It cuts as Qwen2's does, for three reasons: byte level and NFC leave nothing unknown in any script; digits stand alone, so
that a number has one spelling; and llama.cpp knows this way of cutting, so that what was trained can be exported as GGUF.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

from aigc_cli.backends.train.text.tokenizer_files import save_tokenizer

END_OF_TEXT, PADDING, TURN_BEGINS, TURN_ENDS = "<|endoftext|>", "<|pad|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

SMALLEST_VOCAB = 512  # the 256 bytes, the special tokens, and the commonest pairs
LARGEST_VOCAB = 32_768  # chosen without being asked for
BYTES_PER_ENTRY = 400  # of corpus: a token is some 4 bytes, and should be met about 100 times to be learnt
SAMPLE_COST = 64 * 2**20  # characters that merges are learnt from: more take memory, and gain little
WIDE_COST = 11  # further characters for each byte beyond one: without spaces, nearly every clause is a new word to be held
PIECE_CHARACTERS = 8192  # a text is sampled in pieces, so that a whole book may come as one
TOKEN_CHARACTERS = 48  # of the byte alphabet: 16 Chinese characters; longer ones are lines that a corpus repeats


@dataclass(frozen=True)
class TurnFormat:
    """How conversations are written. end_of_turn: the token that ends an answer, at which replies stop.

    special_tokens: the others that the template writes.
    """

    chat_template: str
    end_of_turn: str
    special_tokens: tuple[str, ...]


CHATML = TurnFormat(CHAT_TEMPLATE, TURN_ENDS, (TURN_BEGINS,))


@dataclass(frozen=True)
class VocabSize:
    """How many tokens to aim at, and why."""

    size: int
    reason: str


def choose_vocab_size(corpus_bytes: int, *, asked: int | None, in_config: int | None, body_per_width: int) -> VocabSize:
    """What was asked for; else the config's, or the largest that suits, as far as the corpus has examples for it.

    corpus_bytes: UTF-8 text.  body_per_width: weights of the model without its embeddings, over its width: with more
    entries than that, most of the model would be a table of words.
    """
    if asked:
        return VocabSize(asked, "as asked")
    supported = max(SMALLEST_VOCAB, corpus_bytes // BYTES_PER_ENTRY // 64 * 64)
    if in_config and in_config <= supported:
        return VocabSize(in_config, "as in the config")
    if in_config:
        return VocabSize(supported, f"the config says {in_config}, which the corpus is too small for")
    suits_model = max(SMALLEST_VOCAB, body_per_width // 64 * 64)
    size = min(supported, suits_model, LARGEST_VOCAB)
    reasons = {supported: "what the corpus has examples for", suits_model: "so that embeddings take no more than the layers"}
    return VocabSize(size, reasons.get(size, "the largest that is chosen unasked"))


def train_tokenizer(texts: Iterable[str], vocab_size: int, folder: Path, *, turns: TurnFormat | None, context_length: int | None) -> Any:
    """Learns merges from an even sample of the texts and saves the tokenizer in `folder`; the same texts give the same file.

    Fewer tokens than vocab_size come of a corpus in which too few pairs are met twice: `len(tokenizer)` tells.
    turns: None for a tokenizer that knows no conversations. Then a text begins and ends with END_OF_TEXT; with turns, what is
    generated ends with their `end_of_turn`, and texts do.
    Memory is bounded, whatever the corpus: some 0.8 GiB at most.
    """
    specials = [END_OF_TEXT, PADDING, *((*turns.special_tokens, turns.end_of_turn) if turns else ())]
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=TOKEN_CHARACTERS,
        show_progress=False,
    )
    bpe.train_from_iterator(even_sample(texts), trainer)
    bpe.post_processor = processors.TemplateProcessing(single=f"{END_OF_TEXT} $A", special_tokens=[(END_OF_TEXT, 0)])
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=bpe,
        bos_token=END_OF_TEXT,
        eos_token=turns.end_of_turn if turns else END_OF_TEXT,
        pad_token=PADDING,
        additional_special_tokens=list(turns.special_tokens) if turns else [],
        clean_up_tokenization_spaces=False,
        **({"model_max_length": context_length} if context_length else {}),
    )
    tokenizer.chat_template = turns.chat_template if turns else None
    save_tokenizer(tokenizer, folder)
    return tokenizer


def even_sample(texts: Iterable[str], most: int = SAMPLE_COST) -> list[str]:
    """Every n-th piece of the texts, from beginning to end, with n as small as keeps their cost within `most`."""
    kept: list[str] = []
    cost, stride = 0, 1
    for number, piece in enumerate(pieces(texts)):
        if number % stride:
            continue
        kept.append(piece)
        cost += piece_cost(piece)
        while cost > most and len(kept) > 1:
            kept, stride = kept[::2], stride * 2
            cost = sum(map(piece_cost, kept))
    return kept


def pieces(texts: Iterable[str]) -> Iterator[str]:
    return (text[at : at + PIECE_CHARACTERS] for text in texts for at in range(0, len(text), PIECE_CHARACTERS))


def piece_cost(piece: str) -> int:
    return len(piece) + WIDE_COST * (len(piece.encode("utf-8", "replace")) - len(piece))

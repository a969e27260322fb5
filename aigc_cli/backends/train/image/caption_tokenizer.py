"""A tokenizer for captions: byte-level BPE in CLIP's form (arXiv:2103.00020, section 2.4), learnt from them.

CLIPTokenizer cuts a caption into runs of letters, single digits and runs of signs, in lower case; the last byte of each run bears
a mark. So a vocabulary that holds every byte twice, within a run and at its end, leaves nothing unknown in any script.
A run of Chinese is a whole sentence. Merges are learnt within its characters only: else tokens would begin in the middle of one,
and a word would be cut otherwise in each sentence.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from aigc_cli.backends.train.image.new_parts import CaptionTokenizer
from aigc_cli.backends.train.text.new_tokenizer import even_sample

END_OF_RUN = "</w>"
BEGIN, END = "<|startoftext|>", "<|endoftext|>"
ALPHABET = sorted(pre_tokenizers.ByteLevel.alphabet())
LAST = {byte: chr(0xE000 + number) for number, byte in enumerate(ALPHABET)}  # stands for a byte with the mark while merges are learnt
MARKED = str.maketrans({stand_in: byte + END_OF_RUN for byte, stand_in in LAST.items()})
FIRST_WIDE = 0x2E80  # from here on scripts without spaces: Chinese, Japanese


def train_tokenizer(captions: Iterable[str], wanted: CaptionTokenizer, folder: Path) -> CLIPTokenizer:
    """Learns merges from the captions and saves the tokenizer in `folder`; the same captions give the same file.

    Fewer tokens than wanted.vocab_size come of captions in which too few pairs are met twice: `len(tokenizer)` tells.
    """
    form = CLIPTokenizer().backend_tokenizer  # how captions are cut, before any merge
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=wanted.vocab_size - len((BEGIN, END)),
        min_frequency=2,
        initial_alphabet=[*ALPHABET, *LAST.values()],
        limit_alphabet=2 * len(ALPHABET),
        show_progress=False,
    )
    bpe.train_from_iterator((" ".join(units(caption, form)) for caption in even_sample(captions)), trainer)
    learnt = json.loads(bpe.to_str())["model"]["merges"]
    merges = [(first.translate(MARKED), second.translate(MARKED)) for first, second in learnt]
    bytes_twice = [*ALPHABET, *(byte + END_OF_RUN for byte in ALPHABET)]
    tokens = [*dict.fromkeys([*bytes_twice, *(first + second for first, second in merges)]), BEGIN, END]
    tokenizer = CLIPTokenizer(
        vocab={token: number for number, token in enumerate(tokens)},
        merges=merges,  # type: ignore[arg-type]  # pairs, as its backend takes them
        model_max_length=wanted.max_length,
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def units(caption: str, form: Any) -> Iterator[str]:
    """The pieces of a caption within which merges may be, in the byte alphabet; the last byte of a run by its stand-in."""
    text = form.normalizer.normalize_str(caption)
    for run, (begin, end) in form.pre_tokenizer.pre_tokenize_str(text):
        marked = run[:-1] + LAST[run[-1]]
        at = start = 0
        for character in text[begin:end]:
            length = len(character.encode())
            if ord(character) >= FIRST_WIDE:
                yield from (unit for unit in (marked[start:at], marked[at : at + length]) if unit)
                start = at + length
            at += length
        if start < at:
            yield marked[start:at]

"""The tokenizer of a model that begins from nothing: learnt from the rows that it will be trained on."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from aigc_cli.backends.torch_load import context_length
from aigc_cli.backends.train.text.new_tokenizer import CHATML, choose_vocab_size, train_tokenizer
from aigc_cli.backends.train.text.scratch import Blueprint
from aigc_cli.core.events import Caution, Event, Progress
from aigc_cli.core.sample import ChatSample, CompletionSample, Sample, TextSample
from aigc_cli.data.dataset import Dataset

DONE = "complete"  # a file beside the tokenizer's, written last


def tokenizer_for(dataset: Dataset, blueprint: Blueprint, asked: int | None, folder: Path) -> Generator[Event, None, Any]:
    """Trains it on the training rows, unless it lies in `folder` whole. Says how many tokens it has, and why so many."""
    if not (folder / DONE).exists():
        yield Progress(phase="training the tokenizer", done=0, unit="rows")
        corpus_bytes = sum(len(text.encode()) for text in training_texts(dataset))
        size = choose_vocab_size(
            corpus_bytes,
            asked=asked,
            in_config=blueprint.vocab_size,
            body_per_width=blueprint.body_per_width,
        )
        has_conversations = not {"chat", "instruction"}.isdisjoint(dataset.formats)
        tokenizer = train_tokenizer(
            training_texts(dataset),
            size.size,
            folder,
            turns=blueprint.turns or (CHATML if has_conversations else None),
            context_length=context_length(blueprint.config),
        )
        yield Caution(message=f"the new tokenizer has {len(tokenizer):,} tokens: {size.reason}")
        (folder / DONE).touch()
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def training_texts(dataset: Dataset) -> Iterator[str]:
    for split, _, sample in dataset.samples():
        if split == "train":
            yield from texts_of(sample)


def texts_of(sample: Sample) -> Iterator[str]:
    match sample:
        case TextSample(text):
            yield text
        case CompletionSample(prompt, completion):
            yield prompt
            yield completion
        case ChatSample(turns):
            yield from (turn.content for turn in turns)

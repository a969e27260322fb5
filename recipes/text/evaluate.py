"""How good builtin:text is on what it never saw: bits per byte by domain, 30 completions and 10 dialogues, as Markdown on stdout.

    python recipes/text/evaluate.py MODEL corpus/heldout [--figures]

MODEL is a transformers folder, corpus/heldout what corpus.py held out. A text counts with its first 800 bytes, which the model sees
from the first on: the negative log2 likelihood of its tokens after a start token, summed over all texts, over their UTF-8 bytes. Of a
conversation the answers count, each with the mark that ends it, after all that was said before, over the answers' bytes.

Completions begin with the first sentence of the first 30 stories in the file; dialogues are those below. Both are drawn with the
model's own sampling and their number as seed, none is left out or changed.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch

from aigc_cli.backends.device import Placement
from aigc_cli.backends.torch_load import LoadedModel, load
from aigc_cli.backends.torch_text import TorchTextEngine
from aigc_cli.backends.train.text.collate import Padding, collate
from aigc_cli.backends.train.text.encode import Encoder
from aigc_cli.backends.train.text.loss import SupervisedLoss
from aigc_cli.backends.train.text.token_store import Row
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.events import TextDelta
from aigc_cli.core.request import Message, TextRequest
from aigc_cli.core.sample import ChatSample
from aigc_cli.data.turns import chat_of_messages

FIRST_BYTES = 800
TOGETHER = 8  # texts in one pass of the model
COMPLETIONS, LONGEST = 30, 100  # how many, and tokens of each
DIALOGUES = (
    ("Hello!", "How are you today?", "Tell me a story about a dog."),
    ("Who are you?", "What can you do?", "Are you a human?"),
    ("Tell me a story.", "Another one, please.", "Thank you!"),
    ("Can you tell me a story about a dragon and a princess?", "What was the name of the dragon?"),
    ("What is the capital of France?", "What is the capital of Japan?", "Do you know the capital of Kenya?"),
    ("Continue this story: Tom found a small key under his bed.", "What happens next?"),
    ("I am sad.", "My cat is ill.", "Thanks for listening."),
    ("Good morning", "What is your favourite food?", "I like apples."),
    ("Write a short story about a robot who wants a friend.", "That was nice."),
    ("Do you like music?", "Tell me a joke.", "Goodbye!"),
)


@dataclass(frozen=True)
class Measured:
    """Of one domain. bits: the sum over all its texts.  size: UTF-8 bytes."""

    texts: int
    bits: float
    size: int

    @property
    def bits_per_byte(self) -> float:
        return self.bits / self.size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a transformers folder")
    parser.add_argument("heldout", type=Path, help="folder of .jsonl files, one for each domain")
    parser.add_argument("--figures", action="store_true", help="bits per byte alone")
    args = parser.parse_args()
    source, placement = ModelSource(str(args.model), "folder", args.model), Placement("cpu", "float32", "")
    parts = load(source, placement)
    print("| unseen | texts | bytes | bits per byte |\n|---|--:|--:|--:|")
    for path in sorted(args.heldout.glob("*.jsonl")):
        found = measure(parts, read_rows(path))
        print(f"| {path.stem.replace('-', ' ')} | {found.texts} | {found.size:,} | {found.bits_per_byte:.3f} |", flush=True)
    if not args.figures:
        engine = TorchTextEngine.over(parts, source, placement)
        print("\n".join(["", *completions(engine, read_rows(args.heldout / "stories.jsonl")), "", *dialogues(engine)]))


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def measure(parts: LoadedModel, rows: Sequence[dict[str, Any]]) -> Measured:
    encoded = [encode_text(parts, row["text"]) if "text" in row else encode_talk(parts, row["messages"]) for row in rows]
    encoded.sort(key=lambda each: len(each[0].ids))
    supervised = SupervisedLoss(parts.model).eval()
    nats = 0.0
    for begin in range(0, len(encoded), TOGETHER):
        batch = collate([[row] for row, _ in encoded[begin : begin + TOGETHER]], Padding(0), "cpu")
        with torch.inference_mode():
            losses, _ = supervised.row_losses(batch.inputs, batch.labels)
        nats += float(losses.sum())
    return Measured(len(rows), nats / math.log(2), sum(size for _, size in encoded))


def encode_text(parts: LoadedModel, text: str) -> tuple[Row, int]:
    """Its first bytes up to the last whole character, after a start token; and how many bytes that are."""
    text = text.encode()[:FIRST_BYTES].decode(errors="ignore")
    ids = parts.tokenizer(text).input_ids
    start = parts.tokenizer.bos_token_id
    ids = ids if ids[:1] == [start] else [start, *ids]
    return Row(numpy.array(ids, dtype=numpy.int32), numpy.arange(len(ids)) > 0), len(text.encode())


def encode_talk(parts: LoadedModel, messages: list[dict[str, str]]) -> tuple[Row, int]:
    """The conversation with its answers marked, and how many bytes these have. Raises: ValueError where it is too long for the model."""
    talk = chat_of_messages(messages, "messages")
    context = parts.context_length or 2**31
    encoder = Encoder(parts.tokenizer, mode="auto", default_mode="chat", max_length=context, train_on="completion", end_ids=parts.end_ids)
    [encoded] = encoder.encode([talk])
    if encoded.left_out or encoded.length > len(encoded.ids):
        raise ValueError(f"a conversation cannot be measured whole: {encoded.left_out or f'it has {encoded.length} tokens'}")
    return Row(numpy.array(encoded.ids, dtype=numpy.int32), numpy.array(encoded.trained)), answer_bytes(talk)


def answer_bytes(talk: ChatSample) -> int:
    return sum(len(turn.content.encode()) for turn in talk.turns if turn.role == "assistant")


def completions(engine: TorchTextEngine, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    for number, row in enumerate(rows[:COMPLETIONS]):
        begun = re.split(r"(?<=[.!?])[\"']?\s", row["text"], maxsplit=1)[0]
        request = TextRequest(messages=(Message("user", begun),), mode="raw", max_new_tokens=LONGEST, seed=number)
        yield f"{number + 1}. **{in_a_line(begun)}**{in_a_line(said(engine, request))}"


def dialogues(engine: TorchTextEngine) -> Iterator[str]:
    for number, questions in enumerate(DIALOGUES):
        talk: list[Message] = []
        lines = []
        for question in questions:
            talk.append(Message("user", question))
            request = TextRequest(messages=tuple(talk), mode="chat", max_new_tokens=LONGEST, seed=number)
            talk.append(Message("assistant", said(engine, request)))
            lines.append(f"**{question}** {in_a_line(talk[-1].content)}")
        yield f"{number + 1}. " + "<br>\n   ".join(lines)


def said(engine: TorchTextEngine, request: TextRequest) -> str:
    return "".join(event.text for event in engine.stream(request) if isinstance(event, TextDelta))


def in_a_line(text: str) -> str:
    """For Markdown, where a line break in a list would end it: each is shown as a slash."""
    return re.sub(r"\s*\n\s*", " / ", text).replace("*", r"\*")


if __name__ == "__main__":
    main()

"""The rows kept back that the model will be asked about, chosen while the data are read."""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from aigc_cli.atomic_file import replace_file
from aigc_cli.backends.train.text.encode import Encoder
from aigc_cli.backends.train.text.questions import Question
from aigc_cli.core.request import Message
from aigc_cli.core.sample import Origin, Sample, Split


@dataclass(frozen=True)
class Asked:
    """A question, and the split that its row belongs to."""

    question: Question
    split: Split


class QuestionPicker:
    """Lets rows pass, and keeps `count` of each split but "train": those whose number, of all rows, has the lowest hash.

    So they come from all over the data, and are the same each time. Rows that the encoder leaves out are not kept.
    """

    def __init__(self, count: int, encoder: Encoder) -> None:
        self.count, self.encoder = count, encoder
        self._kept: dict[Split, list[tuple[int, int, Sample]]] = {"validation": [], "test": []}

    def watch(self, rows: Iterable[tuple[Split, Origin, Sample]]) -> Iterator[tuple[Split, Origin, Sample]]:
        for number, (split, origin, sample) in enumerate(rows):
            if split != "train" and self.count:
                rank = -int.from_bytes(hashlib.sha256(str(number).encode()).digest()[:8], "big")  # a heap has its least on top
                kept = self._kept[split]
                is_chosen = len(kept) < self.count or rank > kept[0][0]
                if is_chosen and not self.encoder.encode([sample])[0].left_out:
                    change = heapq.heappush if len(kept) < self.count else heapq.heappushpop
                    change(kept, (rank, number, sample))
            yield split, origin, sample

    def questions(self) -> list[Asked]:
        """Of the test rows where there are any, else of those for validation; without rows that ask nothing."""
        split: Split = "test" if self._kept["test"] else "validation"
        ranked = sorted(self._kept[split], key=lambda kept: -kept[0])
        questions = [self.encoder.prompt_of(sample) for _, _, sample in ranked]
        return [Asked(question, split) for question in questions if question and question.reference.strip()]


def write_questions(path: Path, questions: Iterable[Asked]) -> None:
    replace_file(path, json.dumps([asdict(asked) for asked in questions], ensure_ascii=False).encode("utf-8", "backslashreplace"))


def read_questions(path: Path) -> list[Asked]:
    """Raises: OSError, ValueError, KeyError or TypeError for what `write_questions` did not make."""
    found = []
    for value in json.loads(path.read_bytes()):
        question = value["question"]
        messages = tuple(Message(**message) for message in question["messages"])
        found.append(Asked(Question(messages, question["mode"], question["reference"]), value["split"]))
    return found

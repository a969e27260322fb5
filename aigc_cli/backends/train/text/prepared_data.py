"""Data as a run uses them: tokens on disk, questions, and what there is to say about both. Made once, found again on a resume."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aigc_cli.atomic_file import replace_file
from aigc_cli.backends.train.text.asked import Asked, QuestionPicker, read_questions, write_questions
from aigc_cli.backends.train.text.encode import Encoder
from aigc_cli.backends.train.text.encode_dataset import Statistics, encode_dataset
from aigc_cli.backends.train.text.token_store import TokenStore, TokenStoreError
from aigc_cli.core.events import Caution, Event
from aigc_cli.core.sample import Split
from aigc_cli.data.dataset import Dataset

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
QUESTIONS, FACTS = "questions.json", "facts.json"


@dataclass(frozen=True)
class PreparedData:
    """stores: of the splits that have rows.  mode: how the trained model is to be asked."""

    stores: dict[Split, TokenStore]
    statistics: Statistics
    questions: Sequence[Asked]
    mode: Literal["chat", "raw"]

    def close(self) -> None:
        for store in self.stores.values():
            store.close()


def prepare_data(dataset: Dataset, encoder: Encoder, folder: Path, question_count: int) -> Generator[Event, None, PreparedData]:
    """Makes tokens of all rows, unless they lie in `folder` whole.

    Raises: UsageError where the mode asked for does not suit the data.
    """
    try:
        return read_prepared(folder)
    except (TokenStoreError, OSError, ValueError, KeyError, TypeError):
        pass  # not yet made, or by a start that was killed
    picker = QuestionPicker(question_count, encoder)
    splits = [split for split in SPLITS if dataset.counts.get(split)]
    files = [file.path for of_split in dataset.files.values() for file in of_split]
    statistics = yield from encode_dataset(picker.watch(dataset.samples()), encoder, {split: folder / split for split in splits}, files)
    for message in encoder.cautions:
        yield Caution(message=message)
    write_questions(folder / QUESTIONS, picker.questions())
    facts: dict[str, Any] = {"statistics": statistics.to_json(), "mode": encoder.mode, "splits": splits}
    replace_file(folder / FACTS, json.dumps(facts, ensure_ascii=False).encode("utf-8", "backslashreplace"))
    return read_prepared(folder)


def read_prepared(folder: Path) -> PreparedData:
    """Raises: OSError, ValueError, KeyError, TypeError or TokenStoreError where it is not there as a whole."""
    facts = json.loads((folder / FACTS).read_bytes())
    stores: dict[Split, TokenStore] = {split: TokenStore(folder / split) for split in facts["splits"]}
    kept = {split: store for split, store in stores.items() if len(store)}
    return PreparedData(kept, Statistics.from_json(facts["statistics"]), read_questions(folder / QUESTIONS), facts["mode"])

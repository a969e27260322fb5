"""From rows to token stores, with every row accounted for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from aigc_cli.backends.train.text.encode import Encoder
from aigc_cli.backends.train.text.encode_dataset import LabelledRow, Statistics, encode_dataset
from aigc_cli.backends.train.text.token_store import TokenStore, TokenStoreError
from aigc_cli.core.events import Progress
from aigc_cli.core.sample import CompletionSample, Origin, TextSample
from tests.backends.train.text.chat_templates import CHATML, tokenizer_for

FILES = ["诗.jsonl", "b.jsonl"]


def encoder(max_length: int = 64) -> Encoder:
    return Encoder(tokenizer_for(CHATML), mode="raw", default_mode=None, max_length=max_length, train_on="completion")


def rows() -> Iterator[LabelledRow]:
    yield "train", Origin(FILES[0], 1), CompletionSample("Q:", " A")
    yield "validation", Origin(FILES[0], 2), CompletionSample("床前", "明月光")
    yield "train", Origin(FILES[1], 9), CompletionSample("Q:", " the dog" * 200)
    yield "train", Origin(FILES[1], 10), CompletionSample(" the dog" * 200, "A")


def run(folder: Path, source: Iterator[LabelledRow], max_length: int = 64) -> tuple[list[Progress], Statistics]:
    events = []
    work = encode_dataset(source, encoder(max_length), {"train": folder / "train", "validation": folder / "validation"}, FILES)
    while True:
        try:
            events.append(next(work))
        except StopIteration as end:
            return events, end.value


def test_rows_go_to_the_store_of_their_split(tmp_path: Path) -> None:
    run(tmp_path, rows())
    train, validation = TokenStore(tmp_path / "train"), TokenStore(tmp_path / "validation")
    assert [train.origin(number) for number in range(len(train))] == [Origin(FILES[0], 1), Origin(FILES[1], 9)]
    assert [validation.origin(number) for number in range(len(validation))] == [Origin(FILES[0], 2)]
    expected = encoder().encode([CompletionSample("床前", "明月光")])[0]
    assert validation.get(0).ids.tolist() == expected.ids


def test_statistics_account_for_every_row(tmp_path: Path) -> None:
    events, statistics = run(tmp_path, rows())
    lengths = [row.length for row in encoder().encode([sample for *_, sample in rows()][:3])]
    assert events[-1].done == 4
    assert {split: found.rows for split, found in statistics.splits.items()} == {"train": 2, "validation": 1}
    train = TokenStore(tmp_path / "train")
    assert statistics.splits["train"].tokens == int(train.lengths.sum())
    assert statistics.splits["train"].trained_tokens == int(train.trained_counts.sum())
    assert (statistics.longest, statistics.cut_rows, statistics.cut_tokens) == (max(lengths), 1, max(lengths) - 64)
    assert sum(count for _, count in statistics.histogram) == 3
    for bound, count in statistics.histogram:
        assert count == sum(bound // 2 < length <= bound for length in lengths)
    assert statistics.left_out == 1
    assert statistics.left_out_examples[0][0] == "b.jsonl:10"


def test_statistics_survive_json(tmp_path: Path) -> None:
    _, statistics = run(tmp_path, rows())
    assert Statistics.from_json(json.loads(json.dumps(statistics.to_json()))) == statistics


def test_batches_do_not_change_the_result(tmp_path: Path) -> None:
    def many() -> Iterator[LabelledRow]:
        for line in range(1, 1300):
            yield "train", Origin(FILES[0], line), CompletionSample("Q:", f" {line}")
        yield "train", Origin(FILES[0], 1300), TextSample("the dog " * 140_000)  # more than a batch by itself

    events, statistics = run(tmp_path, many())
    assert [event.done for event in events] == [512, 1024, 1300]
    store = TokenStore(tmp_path / "train")
    lines = [store.origin(number).line for number in range(len(store))]
    assert list(dict.fromkeys(lines)) == list(range(1, 1301))
    assert lines.count(1300) > 1000  # the long text, in windows
    assert (statistics.split_rows, statistics.cut_rows) == (1, 0)
    assert statistics.splits["train"].rows == 1300
    assert statistics.splits["train"].tokens == int(store.lengths.sum())


def test_only_twenty_rows_are_named_and_all_are_counted(tmp_path: Path) -> None:
    source = (("train", Origin(FILES[0], line), CompletionSample(" the dog" * 200, "A")) for line in range(1, 31))
    _, statistics = run(tmp_path, source)  # type: ignore[arg-type]
    assert (statistics.left_out, len(statistics.left_out_examples)) == (30, 20)


def test_work_that_is_given_up_leaves_no_complete_store(tmp_path: Path) -> None:
    endless = (("train", Origin(FILES[0], 1), CompletionSample("Q:", " A")) for _ in iter(int, 1))
    work = encode_dataset(endless, encoder(), {"train": tmp_path / "train"}, FILES)  # type: ignore[arg-type]
    next(work)
    work.close()
    with pytest.raises(TokenStoreError, match="not complete"):
        TokenStore(tmp_path / "train")

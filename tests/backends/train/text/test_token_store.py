"""Rows on disk: read back as written, and never half of a store."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path

import numpy
import psutil
import pytest

from aigc_cli.backends.train.text.encode import Encoded
from aigc_cli.backends.train.text.token_store import TokenStore, TokenStoreError, TokenStoreWriter
from aigc_cli.core.sample import Origin

FILES = ["数据.jsonl", "more.jsonl"]


def some_rows(count: int = 50) -> list[Encoded]:
    chance = random.Random(0)
    rows = []
    for _ in range(count):
        length = chance.randint(1, 40)
        ids = [chance.randrange(2**31) for _ in range(length)]
        rows.append(Encoded(ids, [chance.random() < 0.5 for _ in ids], length))
    return rows


def write(folder: Path, rows: list[Encoded]) -> None:
    with TokenStoreWriter(folder, FILES) as writer:
        for number, row in enumerate(rows):
            writer.add(row, number % 2, number + 1, number // 2)


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    rows = some_rows()
    write(tmp_path, rows)
    store = TokenStore(tmp_path)
    assert len(store) == len(rows)
    assert store.lengths.tolist() == [len(row.ids) for row in rows]
    assert store.trained_counts.tolist() == [sum(row.trained) for row in rows]
    for number in (7, 0, len(rows) - 1):
        row = store.get(number)
        assert (row.ids.dtype, row.trained.dtype) == (numpy.int32, numpy.bool_)
        assert (row.ids.tolist(), row.trained.tolist()) == (rows[number].ids, rows[number].trained)
        assert store.origin(number) == Origin(FILES[number % 2], number + 1, number // 2)


def test_an_empty_store_is_a_store(tmp_path: Path) -> None:
    write(tmp_path, [])
    assert len(TokenStore(tmp_path)) == 0


def test_a_store_that_was_not_finished_is_recognised_also_over_an_older_one(tmp_path: Path) -> None:
    write(tmp_path, some_rows())
    with contextlib.suppress(KeyboardInterrupt), TokenStoreWriter(tmp_path, FILES) as writer:
        writer.add(some_rows(1)[0], 0, 1)
        raise KeyboardInterrupt
    with pytest.raises(TokenStoreError, match="not complete"):
        TokenStore(tmp_path)


@pytest.mark.parametrize("name", ["tokens.i32", "trained.bits", "rows.bin"])
@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0"])
def test_a_file_of_the_wrong_size_is_named(tmp_path: Path, name: str, change) -> None:
    write(tmp_path, some_rows())
    path = tmp_path / name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(TokenStoreError, match=name):
        TokenStore(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"version": 99}', b"\xff"])
def test_a_damaged_description_is_an_error_one_can_read(tmp_path: Path, content: bytes) -> None:
    write(tmp_path, some_rows())
    (tmp_path / "store.json").write_bytes(content)
    with pytest.raises(TokenStoreError) as caught:
        TokenStore(tmp_path)
    assert "delete the folder" in caught.value.hint


def test_reading_all_rows_leaves_no_pages_of_them_in_memory(tmp_path: Path) -> None:
    row = Encoded(list(range(100_000)), [True] * 100_000, 100_000)
    write(tmp_path, [row] * 200)  # 80 MB of tokens
    store = TokenStore(tmp_path)
    store.get(0)
    process = psutil.Process()
    before = process.memory_info().rss
    assert sum(int(store.get(number).ids[-1]) for number in range(200)) == 200 * 99_999
    assert process.memory_info().rss - before < 20 * 2**20

"""What comes on stdin is kept under the suffix of its kind."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from aigc_cli.core.errors import UsageError
from aigc_cli.data.spool import spool
from tests.data_files.conftest import Checked


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b'\n{"text": "a"}\n', "stdin.jsonl"),
        (b'\xef\xbb\xbf[{"text": "a"}]', "stdin.json"),
        ("completion, prompt,编号\na,b,1\n".encode(), "stdin.csv"),
        (b"prompt\tcompletion\r\na\tb\n", "stdin.tsv"),
        ("Es war einmal, text.\n一\n".encode(), "stdin.txt"),
        (b"PAR1\x15", "stdin.parquet"),
    ],
)
def test_the_kind_is_found_by_the_first_bytes(data: bytes, name: str, tmp_path: Path) -> None:
    path = spool(io.BytesIO(data), tmp_path / "stdin")
    assert path.name == name
    assert path.read_bytes() == data


def test_a_long_stream_is_kept_whole(tmp_path: Path) -> None:
    data = b'{"text": "a"}\n' * 50_000
    path = spool(io.BytesIO(data), tmp_path / "stdin")
    assert Checked(path).dataset.counts["train"] == 50_000


@pytest.mark.parametrize(("data", "words"), [(b" \n", "stdin is empty"), (b"\x1f\x8b\x08", "gzip"), (b"\xfd7zXZ\0", "with xz")])
def test_streams_that_are_refused(data: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        spool(io.BytesIO(data), tmp_path / "stdin")
    assert not list(tmp_path.iterdir())

"""Server-sent events from bytes that are cut anywhere."""

from __future__ import annotations

import json

import pytest

from aigc_cli.backends import sse
from aigc_cli.backends.sse import NotAStream, read_objects

STREAM = (
    ': keep alive\r\n\r\nevent: message\r\nid: 1\r\nretry: 10\r\ndata: {"a": "你好"}\r\n\r\n'
    'data:{"a": "one\u2028two\u0085three"}\n\n'
    'data: {"a": "👩‍💻"}\ndata: {"a": ""}\n\n'  # two lines without an empty one between, as some servers send
    "data: [DONE]\n\ndata: what follows is not read"
).encode()
OBJECTS = [{"a": "你好"}, {"a": "one\u2028two\u0085three"}, {"a": "👩‍💻"}, {"a": ""}, None]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_the_cuts_do_not_matter(size: int) -> None:
    chunks = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    assert list(read_objects(chunks)) == OBJECTS


def test_an_object_cut_at_the_end_is_left_out() -> None:
    assert list(read_objects([b'data: {"a": 1}\n\ndata: {"a": "\xe4\xbd'])) == [{"a": 1}]


def test_the_last_line_needs_no_end() -> None:
    assert list(read_objects([b"data: [DONE]"])) == [None]


@pytest.mark.parametrize("nonsense", [b"hello", b"<html>\n", b"data: nope\n", b"data: [1]\n", b'data: {"a": "\xff"}\n', b'{"a": 1}\n'])
def test_nonsense_is_shown(nonsense: bytes) -> None:
    with pytest.raises(NotAStream, match=nonsense.split()[0].decode().replace("{", r"\{")):
        list(read_objects([b'data: {"a": 1}\n\n', nonsense]))


def test_a_line_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MAX_LINE_BYTES", 1000)
    endless = (b"data: " if at == 0 else b"x" * 100 for at in range(10**9))
    with pytest.raises(NotAStream):
        list(read_objects(endless))


def test_an_error_field_is_an_error_object() -> None:
    assert list(read_objects([b"error: " + json.dumps({"code": 500}).encode() + b"\n\n"])) == [{"error": {"code": 500}}]

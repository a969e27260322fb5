"""What an endpoint's objects add up to."""

from __future__ import annotations

from typing import Any

import pytest

from aigc_cli.backends.openai_reply import Reply
from aigc_cli.core.request import Message, TextRequest
from tests.openai_server import chunk


def reply_of(*timed: tuple[float, dict[str, Any]], n: int = 1) -> Reply:
    reply = Reply(TextRequest(messages=(Message("user", "hi"),), n=n), "chat")
    for t, piece in timed:
        list(reply.take(piece, t))
    return reply


def usage(tokens: Any) -> dict[str, Any]:
    return {"choices": [], "usage": {"completion_tokens": tokens}}


def test_the_rate_leaves_out_each_completions_first_token() -> None:
    pieces = [(1.0, chunk("a")), (1.5, chunk("b", index=1)), (3.0, chunk("c")), (9.0, usage(8))]
    reply = reply_of(*pieces, n=2)
    assert reply.tokens_per_second() == (8 - 2) / (3.0 - 1.0)
    assert (reply.first_at, reply.last_at) == (1.0, 3.0)


@pytest.mark.parametrize("pieces", [[(1.0, chunk("all")), (2.0, usage(9))], [(1.0, chunk("a")), (2.0, chunk("b"))], [(1.0, usage(0))]])
def test_no_rate_from_one_piece_or_without_a_count(pieces: list[tuple[float, dict[str, Any]]]) -> None:
    assert reply_of(*pieces).tokens_per_second() is None


@pytest.mark.parametrize("count", ["9", None, {}, 1.5])
def test_a_count_that_is_no_number_is_not_known(count: Any) -> None:
    assert reply_of((1.0, usage(count))).count("completion_tokens") is None


def test_an_empty_first_piece_is_not_the_first_token() -> None:
    assert reply_of((1.0, chunk("")), (2.0, chunk("a"))).first_at == 2.0

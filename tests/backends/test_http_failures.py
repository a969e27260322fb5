"""What failures mean, and how long to wait for them to pass."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from aigc_cli.backends.http_failures import MAX_WAIT, Failure, explain, parse_retry_after, retry_delay

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("1.5", 1.5),
        ("Fri, 02 Jan 2026 03:04:35 GMT", 30.0),
        ("Fri, 02 Jan 2026 03:04:35 -0000", 30.0),
        ("Fri, 02 Jan 2026 03:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-3", None),
        ("inf", None),
        ("nan", None),
        ("Fri, 99 Foo 2026", None),
    ],
)
def test_retry_after(header: str, seconds: float | None) -> None:
    assert parse_retry_after(header, NOW) == seconds


def test_waits_grow_and_end() -> None:
    delays = [retry_delay(Failure(503, ""), tries, 0.0) for tries in (1, 2, 3, 4)]
    assert delays[3] is None
    for delay, about in zip(delays[:3], (1, 2, 4), strict=True):
        assert delay is not None
        assert 0.75 * about <= delay <= 1.25 * about


@pytest.mark.parametrize(
    "failure",
    [
        Failure(400, ""),
        Failure(429, "", "insufficient_quota"),
        Failure(500, "exceeds the context size"),
        Failure(429, "", retry_after=MAX_WAIT + 1),
    ],
)
def test_no_wait_where_it_is_no_use(failure: Failure) -> None:
    assert retry_delay(failure, 1, 0.0) is None


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        ('{"error": {"message": "太长", "code": "a", "type": "b"}}', "太长", "a b"),
        ('{"error": "model not loaded"}', "model not loaded", ""),
        ('{"detail": [{"loc": ["body", "n"], "msg": "too big"}]}', '[{"loc": ["body", "n"], "msg": "too big"}]', ""),
        ('{"message": "no", "code": 7}', "no", "7"),
        ('"just text"', "just text", ""),
        ("<html>Bad Gateway", "<html>Bad Gateway", ""),
        ("", "", ""),
    ],
)
def test_error_bodies(body: str, message: str, code: str) -> None:
    assert explain(body) == (message, code)

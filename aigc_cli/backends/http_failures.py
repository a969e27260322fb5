"""What an HTTP endpoint's failures mean to a user, and which of them pass by themselves."""

from __future__ import annotations

import json
import math
import random
import re
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from aigc_cli.backends.http_endpoint import Endpoint
from aigc_cli.core.errors import AigcError, ContextOverflowError, ModelError, UsageError

CONNECT_TIMEOUT = 10.0
MAX_TRIES = 4
MAX_WAIT = 120.0  # seconds, over all tries of one request
MAX_ERROR_BYTES = 65536
CONTEXT_WORDS = re.compile(r"context.?(length|size|window)|exceed_context|prompt is too long", re.IGNORECASE)


class EndpointError(AigcError):
    """The endpoint was reached, and failed."""


@dataclass(frozen=True)
class Failure:
    """An answer that is an error. status: HTTP's.  retry_after: seconds, where the endpoint says."""

    status: int
    message: str
    code: str = ""
    retry_after: float | None = None
    location: str = ""

    @property
    def is_context_overflow(self) -> bool:
        return bool(CONTEXT_WORDS.search(f"{self.code} {self.message}"))

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later."""
        if self.is_context_overflow or self.code == "insufficient_quota":
            return False
        return self.status == 429 or (self.status >= 500 and self.status != 501)


def read_failure(response: httpx2.Response, endpoint: Endpoint) -> Failure:
    """Reads, within limits, what the endpoint says about its refusal; closes the response."""
    body = b""
    try:
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > MAX_ERROR_BYTES:
                break
    except httpx2.RequestError:
        pass  # the status alone must do
    finally:
        response.close()
    message, code = explain(body.decode("utf-8", "replace"))
    return Failure(
        response.status_code,
        endpoint.quote(message) or response.reason_phrase,
        code,
        parse_retry_after(response.headers.get("retry-after", "")),
        response.headers.get("location", ""),
    )


def explain(body: str) -> tuple[str, str]:
    """Message and code of an error body, in any of the forms in use: OpenAI's, FastAPI's, plain text."""
    try:
        value: Any = json.loads(body)
    except ValueError:
        return body, ""
    if isinstance(value, dict):
        value = value.get("error") or value.get("detail") or value
    if not isinstance(value, dict):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), ""
    message = value.get("message") or json.dumps(value, ensure_ascii=False)
    return str(message), " ".join(str(value[name]) for name in ("code", "type") if value.get(name))


def parse_retry_after(value: str, now: datetime | None = None) -> float | None:
    """Seconds, from a number or an HTTP date (RFC 9110, 10.2.3); None for anything else."""
    try:
        seconds = float(value)
        return seconds if 0 <= seconds < math.inf else None
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - (now or datetime.now(UTC))).total_seconds())


def retry_delay(failure: Failure, tries: int, waited: float) -> float | None:
    """Seconds until the next try; None to give up, when trying is no use, was done enough, or takes too long.

    Without the endpoint's own word: about 1, 2 and 4 seconds, spread so that many clients do not come back at once.
    """
    if not failure.may_pass or tries >= MAX_TRIES:
        return None
    delay = failure.retry_after if failure.retry_after is not None else 2 ** (tries - 1) * random.uniform(0.75, 1.25)
    return delay if waited + delay <= MAX_WAIT else None


def refusal(failure: Failure, endpoint: Endpoint, model: str) -> AigcError:
    """The error that a failure leads to, when nothing was written yet."""
    place, env, said = endpoint.place, endpoint.key_env, failure.message
    if failure.is_context_overflow:
        hint = "shorten the input, or lower --max-new-tokens"
        return ContextOverflowError(f"the input does not fit the context of {model}: {said}", hint)
    match failure.status:
        case 401 | 403 if endpoint.key:
            return ModelError(f"{place} refused the key: {said}", f"check the environment variable {env}, and that the key may use {model}")
        case 401 | 403:
            return ModelError(f"{place} wants a key: {said}", f"put it into the environment variable {env}")
        case 404:
            hint = "check the name after openai:, and --base-url, which often ends in /v1"
            return ModelError(f"{place} knows no model {model}, or no such path: {said}", hint)
        case 429:
            wait = (
                f"it asks to wait {math.ceil(failure.retry_after)} s"
                if failure.retry_after
                else "try again later, or check the account's quota"
            )
            return ModelError(f"{place} is rate limited: {said}", wait)
        case status if 300 <= status < 400:
            target = endpoint.quote(failure.location.partition("?")[0])
            hint = "if you trust that address, give it with --base-url: a key follows no redirect"
            return ModelError(f"{place} sends requests on to {target}", hint)
        case status if status >= 500:
            return ModelError(f"{place} failed with status {status}: {said}", "it may be starting or overloaded: try again later")
        case status:
            return UsageError(f"{place} refused the request ({status}): {said}", "change or leave out the option it names")


def connection_error(error: httpx2.RequestError, endpoint: Endpoint, timeout: float | None) -> AigcError:
    """What kept an answer from beginning."""
    place, said = endpoint.place, endpoint.quote(str(error) or type(error).__name__)
    if isinstance(error, httpx2.ConnectTimeout):
        return ModelError(f"no connection to {place} within {CONNECT_TIMEOUT:g} s", "check --base-url and the network")
    if isinstance(error, httpx2.TimeoutException):
        return silence_error(endpoint, timeout)
    match deepest(error):
        case socket.gaierror() as cause:
            return ModelError(f"the host {endpoint.url.host} cannot be found: {cause.strerror}", "check --base-url and the network")
        case ssl.SSLError():
            return ModelError(f"no secure connection to {place}: {said}", "check --base-url; SSL_CERT_FILE names certificates of your own")
        case ConnectionRefusedError():
            return ModelError(f"nothing answers at {place}", "start the server, or check --base-url")
    return ModelError(f"no answer from {place}: {said}", "check --base-url, the network and the proxy settings")


def silence_error(endpoint: Endpoint, timeout: float | None) -> EndpointError:
    hint = "wait longer with `aigc config set timeout SECONDS`, or AIGC_TIMEOUT"
    return EndpointError(f"{endpoint.place} sent nothing for {timeout:g} s", hint)


def deepest(error: BaseException) -> BaseException:
    """The exception that began it: HTTP libraries wrap the socket's own."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error

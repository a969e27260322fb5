"""A text engine at the other end of HTTP: any endpoint that speaks OpenAI's protocol.

engine = OpenAIEngine(ModelSource("openai:qwen3", "openai"), EngineOptions(base_url="http://localhost:8080/v1"))
"""

from __future__ import annotations

import difflib
import json
import math
import time
from collections.abc import Generator, Iterator
from typing import Any

import httpx2

from aigc_cli.backends.http_endpoint import endpoint_of
from aigc_cli.backends.http_failures import (
    CONNECT_TIMEOUT,
    EndpointError,
    Failure,
    connection_error,
    read_failure,
    refusal,
    retry_delay,
    silence_error,
)
from aigc_cli.backends.openai_reply import Reply
from aigc_cli.backends.openai_request import adapt_body, optional_fields, refuse_unsupported, request_body
from aigc_cli.backends.sse import NotAStream, read_objects
from aigc_cli.core.engine import OPENAI, EngineOptions, ModelSource
from aigc_cli.core.errors import AigcError, ModelError, UsageError
from aigc_cli.core.events import Caution, Done, Event, Loaded
from aigc_cli.core.request import Message, TextRequest

PATHS = {"chat": "/chat/completions", "raw": "/completions"}
LIST_TIMEOUT = 5.0  # seconds for the list of models, which only makes a message better
INCOMPLETE = "what came so far is incomplete: try again"


class OpenAIEngine:
    """Sends the conversation, hands on what comes back. The model, its template and its context are the endpoint's."""

    def __init__(self, source: ModelSource, options: EngineOptions) -> None:
        """Raises: UsageError for a missing or impossible address or key, or for an option that has no meaning here."""
        started = time.perf_counter()
        for flag, value in (("--device", options.device), ("--dtype", options.dtype)):
            if value != "auto":
                raise UsageError(f"{flag} {value} has no effect on a remote model", f"leave {flag} out, or set it to auto")
        if options.adapters:
            raise UsageError("--adapter has no effect on a remote model", "name a model that runs here with -m")
        self.source, self.timeout = source, options.timeout
        self.model = source.name.removeprefix(OPENAI)
        self.endpoint = endpoint_of(options, self.model)
        self.client = open_client(self.endpoint.key, options.timeout)
        self.loaded = Loaded(
            model=source.name,
            device="remote",
            dtype="remote",
            seconds=time.perf_counter() - started,
            reason=f"served by {self.endpoint.place}",
        )

    def stream(self, request: TextRequest) -> Generator[Event, None, None]:
        """As TextEngine.stream; a rate limit is waited for, with a Caution before each wait.

        Raises: ModelError when the endpoint cannot be had, EndpointError when it fails after it began to answer.
        """
        refuse_unsupported(request)
        started = time.perf_counter()
        mode = "raw" if request.mode == "raw" else "chat"
        body = request_body(request, self.model, mode, self.endpoint.url.host)
        response = yield from self._post(PATHS[mode], body, optional_fields(request), started)
        reply = Reply(request, mode)
        try:
            yield from self._read(response, reply, started)
        finally:
            response.close()
        seconds = time.perf_counter() - started
        yield from remarks(reply, seconds)
        yield Done(
            t=seconds,
            finish_reason=reply.choices[0].finish_reason or "stop",
            prompt_tokens=reply.count("prompt_tokens"),
            completion_tokens=reply.count("completion_tokens"),
            ttft=reply.first_at,
            tokens_per_second=reply.tokens_per_second(),
            seconds=seconds,
            seed=body.get("seed"),
            model=self.source.name,
            revision=reply.model if reply.model != self.model else None,
            device="remote",
            dtype="remote",
            mode=mode,
            cached_tokens=reply.count("prompt_tokens_details", "cached_tokens"),
            finish_reasons=tuple(choice.finish_reason or "stop" for choice in reply.choices) if request.n > 1 else None,
        )

    def count_tokens(self, messages: tuple[Message, ...]) -> int | None:
        return None

    def close(self) -> None:
        self.client.close()

    def _post(self, path: str, body: dict[str, Any], optional: set[str], started: float) -> Generator[Event, None, httpx2.Response]:
        """Tries until the endpoint begins to answer; its body is not read yet.

        optional: fields of the body that the user did not ask for: those the endpoint refuses are left out.
        """
        tries, waited = 1, 0.0
        while True:
            request = self.client.build_request("POST", self.endpoint.address(path), json=body)
            try:
                response = self.client.send(request, stream=True)
            except httpx2.RequestError as error:
                raise connection_error(error, self.endpoint, self.timeout) from error
            if response.is_success:
                return response
            failure = read_failure(response, self.endpoint)
            if adapt_body(body, failure, optional):
                continue
            delay = retry_delay(failure, tries, waited)
            if delay is None:
                raise self._refusal(failure, path)
            what = "rate limited" if failure.status == 429 else f"{self.endpoint.place} answered {failure.status}"
            yield Caution(message=f"{what}; trying again in {math.ceil(delay)} s", t=time.perf_counter() - started)
            time.sleep(delay)
            tries, waited = tries + 1, waited + delay

    def _read(self, response: httpx2.Response, reply: Reply, started: float) -> Iterator[Event]:
        """The text as it comes. A stream that just ends is no end: a model says why it stops."""
        failure: AigcError | None = None
        try:
            for chunk in objects_of(response):
                now = time.perf_counter() - started
                if chunk is None:
                    reply.end()
                    break
                if error := chunk.get("error") or (chunk.get("object") == "error" and chunk):
                    failure = self._stream_error(error, reply)
                    break
                yield from reply.take(chunk, now)
                if reply.has_stopped:
                    break
        except httpx2.ReadTimeout:
            failure = silence_error(self.endpoint, self.timeout)
        except httpx2.RequestError as error:
            failure = cut_error(reply, self.endpoint.quote(str(error)))
        except NotAStream as error:
            message = f"{self.endpoint.place} sent something else than a reply: {self.endpoint.quote(str(error), 100)}"
            failure = EndpointError(message, "check --base-url, which often ends in /v1")
        yield from reply.flush(time.perf_counter() - started)
        if not reply.is_finished:
            raise failure or self._early_end(reply)

    def _early_end(self, reply: Reply) -> EndpointError:
        """The stream came to an end, but not to each completion's."""
        begun = [choice for choice in reply.choices if choice.has_begun]
        if begun and all(choice.finish_reason for choice in begun):
            made = f"made {len(begun)} of {len(reply.choices)} completions"
            return EndpointError(f"{self.endpoint.place} {made}", "it may not take -n: ask for one at a time")
        return cut_error(reply, "the stream ended early")

    def _stream_error(self, error: Any, reply: Reply) -> AigcError:
        details = error if isinstance(error, dict) else {"message": error}
        said = self.endpoint.quote(str(details.get("message") or json.dumps(details, ensure_ascii=False)))
        failure = Failure(200, said, f"{details.get('code')} {details.get('type')}")
        if failure.is_context_overflow and not reply.characters:
            return refusal(failure, self.endpoint, self.model)
        return EndpointError(f"{self.endpoint.place} failed after {reply.characters} characters: {said}", INCOMPLETE)

    def _refusal(self, failure: Failure, path: str) -> AigcError:
        names = self._model_names() if failure.status == 404 else []
        if not names:
            return refusal(failure, self.endpoint, self.model)
        if self.model in names:
            hint = "it takes only one of chat and raw: try --instruct or --raw"
            return ModelError(f"{self.endpoint.place} has the model, but no {path}: {failure.message}", hint)
        near = difflib.get_close_matches(self.model, names, n=3, cutoff=0.4) or names[:5]
        return ModelError(f"{self.endpoint.place} has no model {self.model}", f"it has {self.endpoint.quote(', '.join(near))}")

    def _model_names(self) -> list[str]:
        """What the endpoint says it has; empty where it does not tell."""
        try:
            listed = self.client.get(self.endpoint.address("/models"), timeout=LIST_TIMEOUT).json()["data"]
            return [model["id"] for model in listed if isinstance(model["id"], str)]
        except (httpx2.RequestError, ValueError, LookupError, TypeError):
            return []


def open_client(key: str | None, timeout: float | None) -> httpx2.Client:
    """Follows no redirects, so that the key stays with the host that the user named."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        return httpx2.Client(headers=headers, timeout=httpx2.Timeout(timeout, connect=CONNECT_TIMEOUT), follow_redirects=False)
    except (ValueError, ImportError) as error:  # a proxy that httpx2 cannot use
        raise UsageError(f"the proxy settings cannot be used: {error}", "check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY") from error


def cut_error(reply: Reply, reason: str) -> EndpointError:
    return EndpointError(f"the reply was cut after {reply.characters} characters: {reason}", INCOMPLETE)


def objects_of(response: httpx2.Response) -> Iterator[dict[str, Any] | None]:
    """The stream's objects; the one object of an endpoint that does not stream, as if it were a short stream."""
    if not response.headers.get("content-type", "").startswith("application/json"):
        return read_objects(response.iter_bytes())
    text = response.read().decode("utf-8", "replace")
    try:
        whole = json.loads(text)
    except ValueError:
        raise NotAStream(text) from None
    if not isinstance(whole, dict):
        raise NotAStream(text)
    return iter([whole])


def remarks(reply: Reply, t: float) -> Iterator[Event]:
    """What a reader of the text alone would not notice."""
    if not reply.characters:
        yield Caution(message="the endpoint ended its reply without a word", hint="some do when the input is too long for them", t=t)
    for reason in sorted({choice.finish_reason for choice in reply.choices if choice.finish_reason} - {"stop", "length"}):
        yield Caution(message=f"the endpoint ended the text for the reason {reason!r}", t=t)

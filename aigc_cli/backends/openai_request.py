"""From a request to the JSON that OpenAI's protocol wants; what it has no word for is refused."""

from __future__ import annotations

import secrets
from typing import Any

from aigc_cli.backends.http_endpoint import OPENAI_HOST
from aigc_cli.backends.http_failures import Failure
from aigc_cli.core.errors import UsageError
from aigc_cli.core.request import DEFAULT_MAX_NEW_TOKENS, TextRequest

MAX_STOPS = 4  # the protocol's limits
MAX_BIAS = 100.0


def refuse_unsupported(request: TextRequest) -> None:
    """Raises: UsageError for an option that the protocol does not have."""
    sampling = request.sampling
    given = {name: getattr(sampling, name) for name in ("top_k", "min_p", "typical_p", "repetition_penalty", "no_repeat_ngram_size")}
    given |= {"num_beams": request.num_beams > 1 or None, "min_new_tokens": request.min_new_tokens or None, "truncate": request.truncate}
    for name, value in given.items():
        if value is not None:
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"a remote model takes no {flag}", "leave it out, on the command line and in the settings")
    if len(request.stop) > MAX_STOPS:
        raise UsageError(f"a remote model takes --stop {MAX_STOPS} times at most, not {len(request.stop)}", "leave out the rarest")
    if any(abs(bias) > MAX_BIAS for _, bias in sampling.logit_bias):
        raise UsageError(f"a remote model takes no --logit-bias beyond {MAX_BIAS:g}", "leave it between -100, never, and 100, always")


def request_body(request: TextRequest, model: str, mode: str, host: str) -> dict[str, Any]:
    """The JSON that is sent. What the user left open is left to the endpoint, except for the length and the seed."""
    sampling = request.sampling
    length = "max_completion_tokens" if host == OPENAI_HOST and mode == "chat" else "max_tokens"  # others know only the old name
    messages = [{"role": message.role, "content": message.content} for message in request.messages]
    body = {
        "model": model,
        **({"messages": messages} if mode == "chat" else {"prompt": request.messages[0].content}),
        "stream": True,
        "stream_options": {"include_usage": True},
        length: request.max_new_tokens or DEFAULT_MAX_NEW_TOKENS,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "logit_bias": {str(token): bias for token, bias in sampling.logit_bias} or None,
        "stop": list(request.stop) or None,
        "n": request.n if request.n > 1 else None,
        "seed": request.seed if request.seed is not None else secrets.randbelow(2**31),  # 32 bits are all that some servers take
    }
    return {name: value for name, value in body.items() if value is not None}


def optional_fields(request: TextRequest) -> set[str]:
    """Fields that aigc adds of its own accord."""
    return {"stream_options"} | ({"seed"} if request.seed is None else set())


def adapt_body(body: dict[str, Any], failure: Failure, optional: set[str]) -> bool:
    """Mends, in place, what this endpoint refuses and nobody asked for. Returns: whether another try may help."""
    if failure.status not in (400, 422):
        return False
    if "max_tokens" in body and "max_completion_tokens" in failure.message:
        body["max_completion_tokens"] = body.pop("max_tokens")
        return True
    refused = [name for name in optional if name in body and name in failure.message]
    for name in refused:
        del body[name]
    return bool(refused)

"""An HTTP endpoint: its address and its key, which no message ever holds."""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx2

from aigc_cli.core.engine import EngineOptions
from aigc_cli.core.errors import UsageError

OPENAI_HOST = "api.openai.com"


@dataclass(frozen=True)
class Endpoint:
    """Where requests go, and with which key; key_env names the variable that it came from."""

    url: httpx2.URL = field(repr=False)  # its query may hold a secret, too
    key: str | None = field(repr=False)
    key_env: str

    @property
    def place(self) -> str:
        """The address for messages: without credentials and query, which may hold a secret."""
        return str(self.url.copy_with(userinfo=b"", query=None, fragment=None))

    def address(self, path: str) -> httpx2.URL:
        return self.url.copy_with(path=self.url.path.rstrip("/") + path)

    def quote(self, text: str, limit: int = 300) -> str:
        """What the endpoint said, fit for one line of a message: printable, short, without the key."""
        if self.key:
            text = text.replace(self.key, "***")
        line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
        return line if len(line) <= limit else line[:limit] + "…"


def endpoint_of(options: EngineOptions, model: str) -> Endpoint:
    """Raises: UsageError for an address or a key that cannot be one, and when there is neither."""
    key = (options.api_key or "").strip() or None
    if key and not (key.isascii() and key.isprintable()):
        hint = f"set {options.api_key_env} again, without quotes or line breaks"
        raise UsageError(f"the key in {options.api_key_env} holds characters that no key has", hint)
    if not options.base_url and not key:
        hint = f"give --base-url URL, or put a key for {OPENAI_HOST} into {options.api_key_env}"
        raise UsageError(f"no endpoint is known for openai:{model}", hint)
    return Endpoint(parse_url(options.base_url or f"https://{OPENAI_HOST}/v1"), key, options.api_key_env)


def parse_url(text: str) -> httpx2.URL:
    try:
        url = httpx2.URL(text.strip())
        if url.scheme in ("http", "https") and url.host and (url.port or 1) < 65536:
            return url
    except httpx2.InvalidURL:
        pass
    without_credentials = text.rpartition("@")[2]
    raise UsageError(f"--base-url {without_credentials!r} is no http or https address", "for example --base-url http://localhost:8080/v1")

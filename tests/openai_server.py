"""A local server that speaks OpenAI's protocol: it writes like a small model, or answers as a test scripts it."""

from __future__ import annotations

import json
import random
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]
# a "token" is one code point or a short word: emoji and accents come in parts
TOKENS = ["the ", "fox ", "red ", "ran. ", "你", "好", "，", "世", "界", "\n", *"👩‍💻", *"👍🏽", "e\u0301"[0], "\u0301", *"🇨🇳", "\u2028"]
LENGTH = 40  # tokens of a reply that nothing stops


@dataclass
class Answer:
    """What the server does with one request: send each piece, sleep where a number stands, then end or hang up."""

    pieces: Iterable[bytes | float] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "text/event-stream"})
    hangs_up: bool = False  # before the last chunk, as when a server dies


@dataclass(frozen=True)
class Received:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: Json


def data(*objects: Json | str) -> list[bytes]:
    """Server-sent events, one for each object; a string stands as it is."""
    return [f"data: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}\n\n".encode() for value in objects]


def chunk(text: str | None = None, *, index: int = 0, finish: str | None = None, name: str = "content", **rest: Any) -> Json:
    """A chat chunk whose delta holds `text` under `name`."""
    return {"object": "chat.completion.chunk", "choices": [{"index": index, "delta": {name: text}, "finish_reason": finish}], **rest}


def says(*texts: str, finish: str = "stop", **usage: int) -> Answer:
    """A whole reply, one chunk a text."""
    end: list[Json | str] = [{"choices": [], "usage": usage}] if usage else []
    return Answer(data(*map(chunk, texts), chunk(finish=finish), *end, "[DONE]"))


def refuses(status: int, message: str = "no", *, code: str = "", **headers: str) -> Answer:
    """An error as OpenAI words it; header names are written with `_` for `-`."""
    body = json.dumps({"error": {"message": message, "code": code}}).encode()
    return Answer(
        [body], status, {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    )


class QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; anything else is a bug of the test's."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class OpenAIServer:
    """Listens on a free port. `answers` are used up first; then it writes as `write` does.

    requests: what came.  hung_up: set when a client went away before its answer had ended.
    """

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[Received] = []
        self.models = ["test", "qwen3-small", "llama-tiny"]
        self.closing, self.hung_up = threading.Event(), threading.Event()
        handler = type("BoundHandler", (Handler,), {"owner": self})
        self.http = QuietServer(("127.0.0.1", 0), handler)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}/v1"

    @property
    def bodies(self) -> list[Json]:
        return [request.body for request in self.requests if request.body]

    def answer(self, request: Received) -> Answer:
        if request.path.endswith("/models"):
            return Answer([json.dumps({"data": [{"id": name} for name in self.models]}).encode()])
        if self.answers:
            return self.answers.pop(0)
        if request.body.get("model") not in self.models:
            return refuses(404, "The model does not exist", code="model_not_found")
        return Answer(write(request.body))

    def close(self) -> None:
        self.closing.set()
        self.http.shutdown()
        self.http.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # each piece leaves at once
    owner: OpenAIServer

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.respond(Received(self.path, dict(self.headers), body))

    def do_GET(self) -> None:
        self.respond(Received(self.path, dict(self.headers), {}))

    def respond(self, request: Received) -> None:
        self.owner.requests.append(request)
        answer = self.owner.answer(request)
        self.send_response(answer.status)
        for name, value in {**answer.headers, "Transfer-Encoding": "chunked"}.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            for piece in answer.pieces:
                if piece == b"":
                    continue  # an empty chunk would be the last
                if isinstance(piece, bytes):
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                elif self.owner.closing.wait(piece):
                    break
            if not answer.hangs_up:
                self.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.owner.hung_up.set()
        self.close_connection = self.close_connection or answer.hangs_up

    def log_message(self, format: str, *args: Any) -> None:
        pass


def write(body: Json) -> Iterator[bytes]:
    """What a small model would: `n` random texts from `seed`, none longer than `max_tokens`, then the usage."""
    n, limit = body.get("n", 1), min(body["max_tokens"], LENGTH)
    finish = "length" if body["max_tokens"] < LENGTH else "stop"
    draws = [random.Random(f"{body.get('seed')} {index}") for index in range(n)]
    for _ in range(limit):
        for index, draw in enumerate(draws):
            yield from data(piece(body, index, draw.choice(TOKENS), None))
    for index in range(n):
        yield from data(piece(body, index, None, finish))
    if body.get("stream_options", {}).get("include_usage"):
        yield from data({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": n * limit}})
    yield from data("[DONE]")


def piece(body: Json, index: int, text: str | None, finish: str | None) -> Json:
    if "messages" in body:
        return chunk(text, index=index, finish=finish, model=body["model"])
    return {"choices": [{"index": index, "text": text, "finish_reason": finish}], "model": body["model"]}

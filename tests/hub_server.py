"""A local server that speaks as much of the Hugging Face Hub's protocol as a download needs, and fails on demand."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".gguf", ".bin")  # these are in large-file storage, reached through a redirect
API = re.compile(r"/api/models/([^/]+/[^/]+)/revision/(.+)")
FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


@dataclass
class Repository:
    """files: the newest commit's.  older: earlier commits, by hash.

    refuses: an HTTP status and the Hub's error code, if any. A gated repository still says what it holds.
    """

    files: dict[str, bytes]
    parameters: int | None = None
    refuses: tuple[int, str] | None = None
    older: dict[str, dict[str, bytes]] = field(default_factory=dict)

    @property
    def commit(self) -> str:
        return hashlib.sha1(b"\0".join(part for name in sorted(self.files) for part in (name.encode(), self.files[name]))).hexdigest()

    def update(self, files: dict[str, bytes]) -> None:
        """A new commit on main."""
        self.older[self.commit] = self.files
        self.files = files

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        if revision in ("main", self.commit):
            return self.commit, self.files
        return (revision, self.older[revision]) if revision in self.older else None


@dataclass(frozen=True)
class Received:
    method: str
    path: str
    headers: dict[str, str]


class HubServer:
    """cuts: after how many bytes each of the next large answers breaks off.  stops_after: after how many it hangs.

    ignores_range: answers 200 to every GET.  corrupts: changes large files.  answers_with: a page, to everything.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.received: list[Received] = []
        self.cuts: list[int] = []
        self.stops_after: int | None = None
        self.ignores_range = False
        self.corrupts = False
        self.answers_with: bytes | None = None
        handler = type("Handler", (HubHandler,), {"hub": self})
        self.server = QuietServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.storage = f"http://localhost:{self.server.server_port}/storage"  # another origin, as the Hub's is
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def add(self, repo: str, files: dict[str, bytes]) -> Repository:
        self.repositories[repo] = Repository(files)
        return self.repositories[repo]

    def downloads(self) -> list[Received]:
        """Requests for the contents of large files."""
        return [request for request in self.received if request.path.startswith("/storage/")]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class QuietServer(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # a client that went away is no news
            super().handle_error(request, client_address)


class HubHandler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.hub.received.append(Received(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}))
        path = unquote(urlsplit(self.path).path)
        if self.hub.answers_with is not None:
            self.send(200, self.hub.answers_with, {"Content-Type": "text/html"})
        elif path.startswith("/storage/"):
            self.send_stored(path.rpartition("/")[2])
        elif match := API.fullmatch(path):
            self.send_info(match[1], match[2])
        elif match := FILE.fullmatch(path):
            self.send_file(*match.groups())
        else:
            self.send(404)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def find(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """The files of a revision; otherwise the error has been sent."""
        repository = self.hub.repositories.get(repo)
        if repository is None:
            self.send(401, headers={"X-Error-Code": "RepoNotFound"})
            return None
        if repository.refuses and not (repository.refuses[1] == "GatedRepo" and self.path.startswith("/api/")):
            self.send(repository.refuses[0], headers={"X-Error-Code": repository.refuses[1]})
            return None
        found = repository.at(revision)
        if found is None:
            self.send(404, headers={"X-Error-Code": "RevisionNotFound"})
        return found

    def send_info(self, repo: str, revision: str) -> None:
        if found := self.find(repo, revision):
            commit, files = found
            siblings = [describe(name, content) for name, content in files.items()]
            info: dict[str, Any] = {"id": repo, "sha": commit, "siblings": siblings, "cardData": {"license": "apache-2.0"}}
            if count := self.hub.repositories[repo].parameters:
                info["safetensors"] = {"parameters": {"F32": count}, "total": count}
            self.send(200, json.dumps(info).encode())

    def send_file(self, repo: str, revision: str, name: str) -> None:
        found = self.find(repo, revision)
        if found is None:
            return
        commit, files = found
        if name not in files:
            self.send(404, headers={"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        elif name.endswith(LARGE):
            sha256 = hashlib.sha256(files[name]).hexdigest()
            linked = {"X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": str(len(files[name]))}
            self.send(302, headers={"Location": f"{self.hub.storage}/{sha256}", "X-Repo-Commit": commit, **linked})
        else:
            self.send(200, files[name], {"ETag": f'"{git_id(files[name])}"', "X-Repo-Commit": commit})

    def send_stored(self, sha256: str) -> None:
        contents = (files for repository in self.hub.repositories.values() for files in (repository.files, *repository.older.values()))
        content = next(content for files in contents for content in files.values() if hashlib.sha256(content).hexdigest() == sha256)
        content = content[:-1] + b"\0" if self.hub.corrupts else content
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last) + 1, len(content)) if last else len(content)
        if (start or last) and not self.hub.ignores_range:
            self.send(206, content[start:end], {"Content-Range": f"bytes {start}-{end - 1}/{len(content)}"})
        else:
            self.send(200, content)

    def send(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.path.startswith("/storage/"):
            self.send_large(body)
        else:
            self.wfile.write(body)

    def send_large(self, body: bytes) -> None:
        if self.hub.cuts:
            self.wfile.write(body[: self.hub.cuts.pop(0)])
            self.close_connection = True
        elif self.hub.stops_after is not None:
            self.wfile.write(body[: self.hub.stops_after])
            self.connection.recv(1)  # until the client goes away
            self.close_connection = True
        else:
            self.wfile.write(body)


def describe(name: str, content: bytes) -> dict[str, Any]:
    """A file as the API lists it."""
    large = {"lfs": {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}}
    return {"rfilename": name, "size": len(content), "blobId": git_id(content), **(large if name.endswith(LARGE) else {})}


def git_id(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()

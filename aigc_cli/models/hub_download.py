"""Brings the files of a Hub model into the cache.

huggingface_hub owns the layout of the cache and fetches the small files. Those in large-file storage are streamed
here, for the library (2.4) begins such a file anew after every cut: here it grows as blobs/SHA256.incomplete, is
continued with a Range request, now or in a later run, and is checked against its sha256 before the library links it.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

import filelock
import httpx2
from huggingface_hub import get_session, hf_hub_download, hf_hub_url
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

from aigc_cli.core.errors import ModelError
from aigc_cli.core.events import Event, Progress
from aigc_cli.installation import hub_cache
from aigc_cli.models.hub_api import TIMEOUT, RemoteFile, RemoteModel
from aigc_cli.models.hub_cache import model_path, remember_revision
from aigc_cli.models.hub_errors import translated

CHUNK = 2**20
STEPS = 500  # of the progress that is reported, at most
STALLS = 5  # how often a connection may break in a row without having brought anything
PAUSE = 1.0  # seconds before the next attempt


class DamagedDownloadError(Exception):
    """What came is not the right bytes; the message says how."""


def download(model: RemoteModel) -> Generator[Event, None, Path]:
    """Fetches every file that is missing, and returns what to load. Can be stopped and run again. Raises: ModelError."""
    done = shown = 0
    step = max(CHUNK, model.size // STEPS)
    yield Progress(phase="download", done=0, total=model.size)
    with translated(model.id):
        for file in model.files:
            for received in fetch_file(model, file):
                if done + received - shown >= step:
                    shown = done + received
                    yield Progress(phase="download", done=shown, total=model.size)
            done += file.size
        yield Progress(phase="download", done=done, total=model.size)
        remember_revision(model.id, model.commit)
    return model_path(model.snapshot, model.id)


def fetch_file(model: RemoteModel, file: RemoteFile) -> Iterator[int]:
    """Yields how many bytes of the file are here."""
    if not model.is_here(file):
        discard(model.snapshot / file.name)
        if file.sha256:
            yield from fetch_blob(model, file)
        hf_hub_download(model.id.repo, file.name, revision=model.commit, cache_dir=hub_cache())
    yield file.size


def discard(path: Path) -> None:
    """Removes a cached file of the wrong size, its blob too, or the library would link it again."""
    for damaged in {path.resolve(), path}:
        damaged.unlink(missing_ok=True)


def fetch_blob(model: RemoteModel, file: RemoteFile) -> Iterator[int]:
    """Streams a large file to its place among the blobs, from where an earlier run left off."""
    blob, partial = model.blob(file), model.partial(file)
    if is_complete(blob, file):
        return
    lock = hub_cache() / ".locks" / blob.parent.parent.name / f"{blob.name}.lock"
    for path in (partial, lock):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(lock, timeout=0):
            if not is_complete(blob, file):  # another process may have completed it before the lock was ours
                yield from fill(partial, model, file)
                os.replace(partial, blob)
    except filelock.Timeout as error:
        raise ModelError(f"another process is downloading {file.name} of {model.id}", "wait for it to end, then run this again") from error


def is_complete(blob: Path, file: RemoteFile) -> bool:
    return blob.exists() and blob.stat().st_size == file.size


def fill(partial: Path, model: RemoteModel, file: RemoteFile) -> Iterator[int]:
    """Completes what is here of a file; leaves nothing of one that is not what the Hub announced."""
    try:
        with partial.open("a+b") as out:
            yield from receive(out, file, lambda start: stream(model, file, start))
    except DamagedDownloadError as error:
        partial.unlink()
        raise ModelError(f"{file.name} of {model.id} arrived damaged: {error}", "run this again") from error


Stream = AbstractContextManager[tuple[int, Iterator[bytes]]]


@contextmanager
def stream(model: RemoteModel, file: RemoteFile, start: int) -> Iterator[tuple[int, Iterator[bytes]]]:
    """Where the server begins, which is 0 if it knows no ranges, and the bytes from there on."""
    url = hf_hub_url(model.id.repo, file.name, revision=model.commit)
    headers = build_hf_headers() | {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with get_session().stream("GET", url, headers=headers, timeout=TIMEOUT) as response:
        hf_raise_for_status(response)
        yield start if response.status_code == httpx2.codes.PARTIAL_CONTENT else 0, response.iter_raw()


class GrowingFile:
    """A file that is appended to, and the sha256 of what it holds."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.size, self.digest = file, 0, hashlib.sha256()

    def read_existing(self) -> Iterator[int]:
        """Takes in what an earlier run left. Yields how many bytes of it were read."""
        self.file.seek(0)
        while chunk := self.file.read(CHUNK):
            self.digest.update(chunk)
            self.size += len(chunk)
            yield self.size

    def append(self, data: bytes) -> None:
        self.file.write(data)
        self.file.flush()  # so that a killed process has lost nothing
        self.digest.update(data)
        self.size += len(data)

    def restart(self) -> None:
        self.file.truncate(0)
        self.size, self.digest = 0, hashlib.sha256()


def receive(out: BinaryIO, file: RemoteFile, open_stream: Callable[[int], Stream]) -> Iterator[int]:
    """Completes `out` to the file's bytes, opening the stream again after a cut. Yields how many are there.

    Raises: the last transport error when several attempts in a row bring nothing; DamagedDownloadError.
    """
    growing = GrowingFile(out)
    yield from growing.read_existing()
    stalls = 0
    while (start := growing.size) < file.size:
        failure: Exception = httpx2.RemoteProtocolError("the stream ended early")
        try:
            with open_stream(start) as (begin, pieces):
                if begin != start:
                    growing.restart()
                for piece in pieces:
                    if growing.size + len(piece) > file.size:  # it might have no end, and fill the disk
                        raise DamagedDownloadError("it is longer than the Hub says")
                    growing.append(piece)
                    yield growing.size
        except httpx2.TransportError as error:
            failure = error
        stalls = 0 if growing.size > start else stalls + 1
        if stalls > STALLS:
            raise failure
        if growing.size < file.size:
            time.sleep(PAUSE)
    if growing.digest.hexdigest() != file.sha256:
        raise DamagedDownloadError("its sha256 is not the Hub's")

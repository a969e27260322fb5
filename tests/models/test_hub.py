"""Downloads, against a Hub of the tests' own."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import filelock
import httpx2
import pytest
from huggingface_hub import constants

from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import ExitStatus, ModelError
from aigc_cli.core.events import Caution, Event, Progress
from aigc_cli.core.units import format_size
from aigc_cli.installation import hub_cache
from aigc_cli.models import hub as client
from aigc_cli.models import hub_download
from aigc_cli.models.hub_api import RemoteFile, inspect
from aigc_cli.models.hub_cache import cached_models
from aigc_cli.models.names import HubId
from aigc_cli.models.resolve import resolve
from tests.hub_server import HubServer
from tests.model_files import LLAMA_GGUF, gguf_bytes, model_files, safetensors_bytes, write_files

NAME = "org/small"
LARGE = 500_000  # numbers, 4 bytes each


def drive(events: Generator[Event, None, Any]) -> tuple[list[Event], Any]:
    """All events, and what their generator returns."""
    seen = []
    while True:
        try:
            seen.append(next(events))
        except StopIteration as end:
            return seen, end.value


def download(name: str = NAME, **options: Any) -> ModelSource:
    source: ModelSource = drive(resolve(name, **options))[1]
    return source


def test_a_model_is_downloaded_pinned_to_the_commit(hub: HubServer) -> None:
    repository = hub.add(NAME, model_files())
    events, source = drive(resolve(NAME))
    assert (source.kind, source.revision) == ("folder", repository.commit)
    assert {path.name: path.read_bytes() for path in source.path.iterdir()} == repository.files
    assert [request.path for request in hub.received if "/resolve/main/" in request.path] == []
    bars = [event for event in events if isinstance(event, Progress)]
    assert bars[-1].done == bars[-1].total == sum(map(len, repository.files.values()))
    assert [bar.done for bar in bars] == sorted(bar.done for bar in bars)
    assert any(isinstance(event, Caution) and "to download" in event.message and "free in" in event.message for event in events)


def test_a_model_in_the_cache_needs_no_network(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(NAME, model_files())
    source = download()
    hub.close()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.received.clear()
    events, again = drive(resolve(NAME))
    assert (events, again) == ([], source)
    assert hub.received == []


def test_a_revision_is_kept_apart_from_main(hub: HubServer) -> None:
    repository = hub.add(NAME, model_files(1000))
    old = repository.commit
    repository.update(model_files(2000))
    assert download(f"{NAME}@{old}").revision == old
    assert download().revision == repository.commit != old


def test_what_runs_stays_the_same_until_it_is_refreshed(hub: HubServer) -> None:
    repository = hub.add(NAME, model_files(1000))
    old = download()
    repository.update(model_files(2000))
    assert download() == old
    path = drive(client.fetch(HubId(NAME)))[1]
    assert path.name == repository.commit
    assert download().revision == repository.commit


def test_files_that_two_commits_share_are_downloaded_once(hub: HubServer) -> None:
    repository = hub.add(NAME, model_files())
    download()
    repository.update({**repository.files, "generation_config.json": b"{}"})
    hub.received.clear()
    drive(client.fetch(HubId(NAME)))
    assert hub.downloads() == []


def test_nothing_that_could_run_code_is_downloaded(hub: HubServer) -> None:
    extra = {
        "modeling_small.py": b"",
        "pytorch_model.bin": b"",
        "model.fp16.safetensors": b"x",
        "onnx/model.onnx": b"",
        "../../x.json": b"{}",
    }
    hub.add(NAME, {**model_files(), **extra, "chat_template.jinja": b"", "tokenizer_config.json": b"{}"})
    assert sorted(path.name for path in download().path.rglob("*")) == [
        "chat_template.jinja",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_shards_are_downloaded_by_their_index(hub: HubServer) -> None:
    files = model_files()
    part = files.pop("model.safetensors")
    index = b'{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}'
    shards = {f"model-0000{at}-of-00002.safetensors": part + bytes([at]) for at in (1, 2)}
    hub.add(NAME, {**files, **shards, "model.safetensors.index.json": index, "consolidated.safetensors": part})
    assert sorted(path.name for path in download().path.glob("*.safetensors")) == sorted(shards)


def test_a_cut_connection_is_continued_where_it_broke(hub: HubServer) -> None:
    repository = hub.add(NAME, model_files(LARGE))
    hub.cuts = [750_000, 250_000]
    source = download()
    assert (source.path / "model.safetensors").read_bytes() == repository.files["model.safetensors"]
    ranges = [request.headers.get("range") for request in hub.downloads()]
    assert ranges[0] is None
    assert ranges[1:] == ["bytes=750000-", "bytes=1000000-"]


def test_a_run_that_was_stopped_is_continued_by_the_next(hub: HubServer) -> None:
    repository = hub.add(NAME, model_files(LARGE))
    events = resolve(NAME)
    while not (isinstance(event := next(events), Progress) and event.done > 1_000_000):
        pass
    events.close()
    (partial,) = (Path(os.environ["HF_HOME"]) / "hub").rglob("*.incomplete")
    have, size = partial.stat().st_size, len(repository.files["model.safetensors"])
    assert 1_000_000 < have < size
    hub.received.clear()
    seen, source = drive(resolve(NAME))
    assert [request.headers["range"] for request in hub.downloads()] == [f"bytes={have}-"]
    assert (source.path / "model.safetensors").read_bytes() == repository.files["model.safetensors"]
    assert not partial.exists()
    assert f"{format_size(size - have)} to download" in next(event.message for event in seen if isinstance(event, Caution))


def test_a_server_without_ranges_starts_over(hub: HubServer) -> None:
    repository = hub.add(NAME, model_files(LARGE))
    hub.cuts, hub.ignores_range = [750_000], True
    assert (download().path / "model.safetensors").read_bytes() == repository.files["model.safetensors"]


def test_a_connection_that_brings_nothing_is_given_up(hub: HubServer) -> None:
    hub.add(NAME, model_files(LARGE))
    hub.cuts = [750_000, *[0] * (hub_download.STALLS + 1)]
    with pytest.raises(ModelError, match="the connection broke") as caught:
        download()
    assert caught.value.status == ExitStatus.MODEL
    assert "goes on where it stopped" in caught.value.hint
    hub.cuts = []
    assert download().kind == "folder"
    assert hub.downloads()[-1].headers["range"] == "bytes=750000-"


def test_bytes_that_arrive_altered_are_found(hub: HubServer) -> None:
    hub.add(NAME, model_files())
    hub.corrupts = True
    with pytest.raises(ModelError, match=r"model\.safetensors of org/small arrived damaged"):
        download()
    hub.corrupts = False
    assert download().kind == "folder"


def test_a_cached_file_that_was_cut_is_fetched_again(hub: HubServer) -> None:
    repository = hub.add(NAME, model_files())
    weights = download().path / "model.safetensors"
    os.truncate(weights, 100)
    assert (download().path / "model.safetensors").read_bytes() == repository.files["model.safetensors"]


def test_the_token_reaches_the_hub_and_nobody_else(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    hub.add(NAME, model_files())
    download()
    assert {request.headers.get("authorization") for request in hub.received if request not in hub.downloads()} == {"Bearer hf_canary"}
    assert {request.headers.get("authorization") for request in hub.downloads()} == {None}


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_model_says_where_to_accept_its_licence(hub: HubServer, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    hub.add(NAME, model_files()).refuses = (status, "GatedRepo")
    with pytest.raises(ModelError, match="org/small is gated") as caught:
        download()
    assert f"{hub.url}/org/small" in caught.value.hint
    assert "canary" not in f"{caught.value.message}{caught.value.hint}"


def test_other_refusals_have_messages_of_their_own(hub: HubServer) -> None:
    repository = hub.add(NAME, model_files())
    for status, words in ((403, "refuses access"), (429, "too many requests"), (500, "the Hub failed")):
        repository.refuses = (status, "")
        with pytest.raises(ModelError, match=words):
            download()


def test_what_is_not_there_is_told_apart(hub: HubServer) -> None:
    hub.add(NAME, model_files())
    with pytest.raises(ModelError, match="the Hub has no model org/other") as caught:
        download("org/other")
    assert caught.value.status == ExitStatus.MODEL
    with pytest.raises(ModelError, match="org/small has no revision 'v9'"):
        download("org/small@v9")
    with pytest.raises(ModelError, match=r"no model Qwen/Qwen3-0\.6,") as caught:
        download("Qwen/Qwen3-0.6")
    assert "Qwen/Qwen3-0.6B" in caught.value.hint


def test_offline_says_so_and_asks_nobody(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.add(NAME, model_files())
    with pytest.raises(ModelError, match="org/small is not in the cache, and HF_HUB_OFFLINE forbids"):
        download()
    assert hub.received == []


def test_offline_a_model_that_is_here_stays_as_it_is(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(NAME, model_files())
    source = download()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    events, path = drive(client.fetch(HubId(NAME)))
    assert path == source.path
    assert [type(event) for event in events] == [Caution]


def test_a_cache_behind_a_link_is_the_same_cache(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "link"))
    hub.add(NAME, model_files())
    commit = download().revision
    assert [(model.repo, model.commits, model.is_whole) for model in cached_models()] == [(NAME, (commit,), True)]


def test_a_cache_that_cannot_be_written_says_where(hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "file"))
    hub.add(NAME, model_files())
    with pytest.raises(ModelError, match=f"org/small cannot be stored: {tmp_path}/file"):
        download()


def test_a_hub_that_cannot_be_reached(hub: HubServer) -> None:
    hub.close()
    with pytest.raises(ModelError, match="cannot be reached") as caught:
        download()
    assert "HF_ENDPOINT can name a mirror" in caught.value.hint


def test_a_page_that_is_no_hub(hub: HubServer) -> None:
    hub.answers_with = "<html>请登录</html>".encode()
    with pytest.raises(ModelError, match="does not answer as the Hub does"):
        download()


def test_a_disk_that_is_too_small_is_refused_before_anything_is_downloaded(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(NAME, model_files())
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    with pytest.raises(ModelError, match=r"the disk is too small for org/small .*: 4\.2 KiB to download, 100 B free"):
        download()
    assert hub.downloads() == []


def test_a_disk_that_fills_up_keeps_what_it_has(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(NAME, model_files(LARGE))
    with monkeypatch.context() as patch:
        patch.setattr(hub_download, "receive", lambda out, *rest: fill_up(out))
        with pytest.raises(ModelError, match="the disk is full") as caught:
            download()
    assert caught.value.status == ExitStatus.MODEL
    download()
    assert hub.downloads()[-1].headers["range"] == "bytes=100-"


def fill_up(out: BinaryIO) -> Generator[int, None, None]:
    out.write(safetensors_bytes(LARGE)[:100])
    yield 100
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_large_download_asks_first(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(NAME, model_files())
    monkeypatch.setattr(client, "ASK_ABOVE", 1000)
    questions: list[str] = []

    def decline(question: str) -> bool:
        questions.append(question)
        return False

    with pytest.raises(ModelError, match="org/small was not downloaded"):
        download(confirm=decline)
    assert "org/small" in questions[0]
    assert "free in" in questions[0]
    assert hub.downloads() == []
    assert download(confirm=decline, assume_yes=True).kind == "folder"
    assert len(questions) == 1


def test_two_downloads_of_one_file_do_not_mix(hub: HubServer) -> None:
    hub.add(NAME, model_files(LARGE))
    first = resolve(NAME)
    while not (isinstance(event := next(first), Progress) and event.done > 1_000_000):
        pass
    with pytest.raises(ModelError, match="another process is downloading"):
        download()
    assert drive(first)[1].kind == "folder"


def test_a_file_takes_its_place_before_the_lock_is_given_up(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(NAME, model_files())
    (file,) = (file for file in inspect(HubId(NAME)).files if file.sha256)
    lock = hub_cache() / ".locks/models--org--small" / f"{file.sha256}.lock"
    moved = []

    def replace(source: Path, target: Path) -> None:
        with pytest.raises(filelock.Timeout):
            filelock.FileLock(lock, timeout=0, is_singleton=False).acquire()
        moved.append(target.name)
        os.rename(source, target)

    monkeypatch.setattr(os, "replace", replace)
    list(hub_download.fetch_blob(inspect(HubId(NAME)), file))
    assert moved == [file.sha256]


def test_a_file_that_another_process_completed_meanwhile_is_not_fetched_again(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = hub.add(NAME, model_files())
    model = inspect(HubId(NAME))
    (file,) = (file for file in model.files if file.sha256)

    def lock_after_the_other(*args: Any, **options: Any) -> nullcontext[None]:
        model.blob(file).write_bytes(repository.files[file.name])
        return nullcontext()

    monkeypatch.setattr(filelock, "FileLock", lock_after_the_other)
    assert list(hub_download.fetch_blob(model, file)) == []
    assert hub.downloads() == []
    assert not model.partial(file).exists()


def test_the_only_gguf_file_of_a_repository_is_taken(hub: HubServer) -> None:
    gguf = gguf_bytes(LLAMA_GGUF, 100)
    repository = hub.add("org/small-GGUF", {"README.md": b"", "small-q8.gguf": gguf})
    source = download("org/small-GGUF")
    assert (source.kind, source.path.name, source.revision) == ("gguf", "small-q8.gguf", repository.commit)


def test_among_several_gguf_files_the_user_chooses(hub: HubServer) -> None:
    files = {f"small-{bits}.gguf": gguf_bytes(LLAMA_GGUF | {"bits": bits}, 100) for bits in (4, 8)}
    hub.add("org/small-GGUF", files)
    with pytest.raises(ModelError, match="has 2 GGUF files") as caught:
        download("org/small-GGUF")
    assert "-m org/small-GGUF:small-4.gguf" in caught.value.hint
    source = download("org/small-GGUF:small-8.gguf")
    assert source.path.read_bytes() == files["small-8.gguf"]
    assert len(hub.downloads()) == 1


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"config.json": b"{}", "pytorch_model.bin": b"x"}, "only as a pickle: pytorch_model.bin"),
        ({"adapter_config.json": b"{}", "adapter_model.safetensors": b"x"}, "holds an adapter, not a model"),
        ({"README.md": b""}, "holds no model that aigc can load"),
    ],
)
def test_repositories_without_a_model_are_refused_unread(hub: HubServer, files: dict[str, bytes], words: str) -> None:
    hub.add(NAME, files)
    with pytest.raises(ModelError, match=words):
        download()
    assert hub.downloads() == []


def test_receive_checks_what_an_earlier_run_left() -> None:
    content = safetensors_bytes()
    file = RemoteFile("x", len(content), hashlib.sha256(content).hexdigest())
    out = io.BytesIO(b"\xff" * 10)
    with pytest.raises(hub_download.DamagedDownloadError):
        list(hub_download.receive(out, file, lambda start: nullcontext((start, iter([content[start:]])))))


def test_receive_takes_no_more_than_was_announced() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            assert len(out.getvalue()) <= 10
            yield b"1234"

    out = io.BytesIO()
    with pytest.raises(hub_download.DamagedDownloadError, match="longer than the Hub says"):
        list(hub_download.receive(out, RemoteFile("x", 10, "0"), lambda start: nullcontext((start, endless()))))


def test_receive_gives_up_on_a_stream_that_ends_early_without_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_download, "PAUSE", 0.0)
    with pytest.raises(httpx2.RemoteProtocolError):
        list(hub_download.receive(io.BytesIO(), RemoteFile("x", 10, "0"), lambda start: nullcontext((start, iter([])))))


def test_a_repository_of_which_only_the_config_is_here_is_in_part() -> None:
    snapshot = hub_cache() / "models--org--small/snapshots" / ("a" * 40)
    write_files(snapshot, {"config.json": b"{}"})
    (model,) = cached_models()
    assert (model.repo, model.is_whole) == (NAME, False)

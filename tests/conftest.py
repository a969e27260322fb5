"""Fixtures that every test may use. Tests run offline, in a home of their own."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from aigc_cli.core.engine import ModelSource
from aigc_cli.core.events import Event
from tests.fake import FakeTextEngine
from tests.hub_server import HubServer

if TYPE_CHECKING:
    from tests.fake_image import FakeImageEngine


@dataclass
class Result:
    """What a run of the command left: its streams and its exit status."""

    stdout: str
    stderr: str
    status: int

    @property
    def events(self) -> list[dict[str, Any]]:
        """stdout, read as JSON lines."""
        return [json.loads(line) for line in self.stdout.split("\n") if line]  # splitlines would cut at U+2028


@pytest.fixture(scope="session", autouse=True)
def heeded_signals() -> None:
    """However the tests are started: under nohup, or in the background of a script, signals are ignored, and then by all they start."""
    for name, handler in (("SIGINT", signal.default_int_handler), ("SIGTERM", signal.SIG_DFL), ("SIGHUP", signal.SIG_DFL)):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, an empty working folder, no settings, and a hub that is offline unless a test starts one."""
    home = tmp_path_factory.mktemp("home")
    for name in [name for name in os.environ if name.startswith(("AIGC_", "HF_")) and name != "AIGC_TEST_DATA"]:
        monkeypatch.delenv(name)
    for name in ("OPENAI_API_KEY", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):  # the last two are set where tests run side by side
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("AIGC_HOME", str(home / "aigc"))
    monkeypatch.setenv("HF_HOME", str(home / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    working_folder = home / "work"
    working_folder.mkdir()
    monkeypatch.chdir(working_folder)
    return home


def run_here(*args: str | Path, input: str | bytes | None = None) -> Result:
    """Runs the command in this process: `run_here("complete", "hi", input="text on stdin")`.

    `input` is str or bytes; None stands for a terminal on stdin.
    """
    from aigc_cli.__main__ import main

    stdout, stderr = (  # as Python opens them
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors=errors, write_through=True) for errors in ("strict", "backslashreplace")
    )
    data = input.encode() if isinstance(input, str) else (input or b"")
    stdin = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8")
    stdin.isatty = lambda: input is None  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", stdin)
        patch.setattr(sys, "stdout", stdout)
        patch.setattr(sys, "stderr", stderr)
        status = main([str(arg) for arg in args])
    read = [stream.buffer.getvalue().decode() for stream in (stdout, stderr)]  # type: ignore[attr-defined]
    return Result(read[0], read[1], int(status))


@pytest.fixture
def run() -> Callable[..., Result]:
    return run_here


@pytest.fixture
def aigc() -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Runs the command as a process of its own: bytes in, bytes out."""

    def call(*args: str, input: bytes = b"", **options: Any) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "aigc_cli", *map(str, args)]
        return subprocess.run(command, input=input, capture_output=True, timeout=120, **options)

    return call


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[FakeTextEngine]:
    """Puts the scripted engine in every model's place; any model name resolves."""

    def resolve(name: str, **options: Any) -> Generator[Event, None, ModelSource]:
        yield from ()
        return ModelSource(name=name, kind="folder", path=tmp_path)

    monkeypatch.setattr("aigc_cli.models.resolve.resolve", resolve)
    monkeypatch.setitem(__import__("aigc_cli.backends").backends.ENGINES["text"], "folder", "tests.fake:FakeTextEngine")
    for name in ("replies", "requests", "sources"):
        monkeypatch.setattr(FakeTextEngine, name, [])
    monkeypatch.setattr(FakeTextEngine, "closed", 0)
    return FakeTextEngine


@pytest.fixture
def fake_image(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[FakeImageEngine]:
    """Puts the scripted engine in every image model's place; any model name resolves, and none need be given."""
    from tests.fake_image import install

    return install(monkeypatch, tmp_path / "model")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub of the test's own, online, for this process and those it starts."""
    from huggingface_hub import constants

    from aigc_cli.models import hub_download

    server = HubServer()
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    # the library reads the environment once, as it is imported
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(hub_download, "PAUSE", 0.0)
    yield server
    server.close()


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real data and weights; skips where AIGC_TEST_DATA does not name one."""
    folder = os.environ.get("AIGC_TEST_DATA")
    if not folder:
        pytest.skip("AIGC_TEST_DATA names no folder with real data and weights")
    return Path(folder).resolve()

"""`aigc models`, as a user meets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aigc_cli.core.errors import ExitStatus
from aigc_cli.models.catalogue import BUILTINS, catalogue
from aigc_cli.models.fit import Memory
from aigc_cli.settings import folders
from tests.conftest import Result
from tests.fake import FakeTextEngine
from tests.hub_server import HubServer
from tests.model_files import model_files, write_files

Run = Callable[..., Result]
NAME = "org/small"


def cells(result: Result) -> dict[str, list[str]]:
    """The lines of a table in a pipe, by their first column."""
    return {line.split("\t")[0]: line.split("\t")[1:] for line in result.stdout.splitlines()}


def test_list_shows_the_catalogue_in_a_pipe_as_tab_separated_lines(run: Run) -> None:
    result = run("models", "list")
    assert (result.status, result.stderr) == (ExitStatus.DONE, "")
    assert cells(result)["qwen3:0.6b"] == ["available", "text", "-", "0.6B", "Apache-2.0", "Qwen/Qwen3-0.6B"]
    assert len({line.count("\t") for line in result.stdout.splitlines()}) == 1


def test_list_shows_what_is_built_in_and_your_aliases(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_files(tmp_path / "builtin", model_files())
    monkeypatch.setitem(
        BUILTINS, "builtin:text", type(BUILTINS["builtin:text"])(name="builtin:text", path=folder, modality="text", mode="raw")
    )
    run("models", "alias", "我的", "org/name")
    rows = cells(run("models", "list"))
    assert rows["builtin:text"][0] == "built-in"
    assert rows["我的"] == ["alias", "-", "-", "-", "-", "org/name"]


def test_list_as_json_has_an_object_for_each_model(run: Run) -> None:
    models = run("models", "list", "--json").events
    assert {"qwen3:0.6b", "sd1.5"} <= {model["name"] for model in models}
    gated = next(model for model in models if model["name"] == "gemma3:270m")
    assert gated == {
        "name": "gemma3:270m",
        "status": "available",
        "id": "google/gemma-3-270m-it",
        "modality": "text",
        "mode": "chat",
        "licence": "Gemma",
        "gated": True,
        "parameters": "270M",
    }


def test_pull_prints_where_the_model_lies_and_show_knows_it(run: Run, hub: HubServer) -> None:
    repository = hub.add(NAME, model_files())
    result = run("models", "pull", NAME)
    assert result.status == ExitStatus.DONE
    path = Path(result.stdout.strip())
    assert (path.name, (path / "config.json").exists()) == (repository.commit, True)
    assert "to download" in result.stderr
    shown = json.loads(run("models", "show", NAME, "--json").stdout)
    assert shown == {
        "name": NAME,
        "status": "downloaded",
        "id": NAME,
        "modality": "text",
        "parameters": 1000,
        "size": shown["size"],
        "path": str(path),
        "commit": repository.commit,
        "architecture": "LlamaForCausalLM",
        "context_length": 512,
        "dtype": "float32",
        "chat_template": False,
    }
    assert shown["size"] == sum(map(len, repository.files.values()))
    assert cells(run("models", "list"))[NAME][0] == "downloaded"


def test_pull_as_json_ends_with_what_is_known(run: Run, hub: HubServer) -> None:
    repository = hub.add(NAME, model_files())
    events = run("models", "pull", NAME, "--json").events
    assert events[0]["event"] == "warning"
    total = sum(map(len, repository.files.values()))
    assert events[-2] == {"event": "progress", "t": 0.0, "phase": "download", "done": total, "total": total, "unit": "B"}
    assert events[-1]["commit"] == repository.commit


def test_pull_by_a_catalogue_name_is_listed_under_it(run: Run, hub: HubServer) -> None:
    hub.add(catalogue()["smollm2:135m"].id, model_files())
    assert run("models", "pull", "smollm2:135m").status == ExitStatus.DONE
    rows = cells(run("models", "list"))
    assert rows["smollm2:135m"][0] == "downloaded"
    assert "HuggingFaceTB/SmolLM2-135M-Instruct" not in rows


@pytest.mark.parametrize("name", ["builtin:text", "openai:gpt-5", "."])
def test_pull_of_what_is_not_on_the_hub_is_a_usage_error(run: Run, name: str) -> None:
    result = run("models", "pull", name)
    assert result.status == ExitStatus.USAGE
    assert "is not on the Hub" in result.stderr


def test_pull_offline_exits_3(aigc: Callable[..., subprocess.CompletedProcess[bytes]]) -> None:
    result = aigc("models", "pull", "qwen3:0.6b")
    assert result.returncode == ExitStatus.MODEL
    assert result.stdout == b""
    assert result.stderr.decode().splitlines()[0] == "aigc: Qwen/Qwen3-0.6B is not in the cache, and HF_HUB_OFFLINE forbids a download"


def test_pull_survives_a_kill(hub: HubServer) -> None:
    repository = hub.add(NAME, model_files(500_000))
    hub.stops_after = 1_200_000
    command = [sys.executable, "-m", "aigc_cli", "models", "pull", NAME]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    cache = Path(os.environ["HF_HOME"]) / "hub"
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size >= 1_000_000 for path in cache.rglob("*.incomplete")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    hub.stops_after = None
    hub.received.clear()
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == ExitStatus.DONE, result.stderr
    start = int(hub.downloads()[0].headers["range"].removeprefix("bytes=").rstrip("-"))
    assert 1_000_000 <= start <= 1_200_000
    assert (Path(result.stdout.strip()) / "model.safetensors").read_bytes() == repository.files["model.safetensors"]


def test_complete_downloads_what_it_needs(run: Run, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("aigc_cli.backends").backends.ENGINES["text"], "folder", "tests.fake:FakeTextEngine")
    repository = hub.add(NAME, model_files())
    result = run("complete", "-m", NAME, "--json", "hello")
    assert result.status == ExitStatus.DONE
    assert [event["event"] for event in result.events][:4] == ["warning", "progress", "progress", "loaded"]
    assert FakeTextEngine.sources[-1].revision == repository.commit


def test_rm_says_what_it_frees_and_leaves_nothing(run: Run, hub: HubServer, own_home: Path) -> None:
    hub.add(NAME, model_files(250_000))
    run("models", "pull", NAME)
    result = run("models", "rm", NAME, "--yes", input="")
    assert (result.status, result.stdout) == (ExitStatus.DONE, "")
    assert "org/small is deleted: 976.8 KiB freed" in result.stderr
    assert not list((own_home / "hf/hub").glob("models--*"))
    assert run("models", "rm", NAME).status == ExitStatus.MODEL


def test_rm_of_a_download_that_was_cut(run: Run, own_home: Path) -> None:
    write_files(own_home / "hf/hub/models--org--small", {"blobs/abc.incomplete": b"x" * 2048})
    assert cells(run("models", "list"))[NAME][:3] == ["in part", "-", "2.0 KiB"]
    assert run("models", "rm", NAME, "--json", "--yes").events == [{"id": NAME, "freed": 2048}]
    assert NAME not in cells(run("models", "list"))


def test_rm_without_a_terminal_deletes_nothing_unasked(run: Run, own_home: Path) -> None:
    write_files(own_home / "hf/hub/models--org--small", {"blobs/abc.incomplete": b"x" * 2048})
    result = run("models", "rm", NAME, input="y\n")
    assert (result.status, result.stdout) == (ExitStatus.USAGE, "")
    assert "org/small is not deleted unasked" in result.stderr
    assert "add --yes" in result.stderr
    assert NAME in cells(run("models", "list"))


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("answer", "status"), [("y\n", ExitStatus.DONE), ("n\n", ExitStatus.USAGE), ("\x04", ExitStatus.USAGE)])
def test_who_pipes_something_in_is_asked_at_the_terminal(own_home: Path, answer: str, status: ExitStatus) -> None:
    import pty

    write_files(own_home / "hf/hub/models--org--small", {"blobs/abc.incomplete": b"x" * 2048})
    piped, feed = os.pipe()
    os.write(feed, b"y\ny\n")
    process, master = pty.fork()
    if process == 0:
        os.dup2(piped, 0)
        os.execv(sys.executable, [sys.executable, "-m", "aigc_cli", "models", "rm", NAME])
    shown = b""
    while b"[y/N] " not in shown:
        shown += os.read(master, 1024)
    assert "Delete org/small, 2.0 KiB?" in shown.decode()
    os.write(master, answer.encode())
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == status
    for descriptor in (piped, feed, master):
        os.close(descriptor)


@pytest.mark.parametrize(
    ("name", "words"),
    [("builtin:text", "is not a downloaded model: it stays"), (".", "is not a downloaded model: it stays"), ("a/b@v1", "all revisions")],
)
def test_rm_refuses_what_it_must_not_delete(run: Run, name: str, words: str) -> None:
    result = run("models", "rm", name, "--yes")
    assert result.status == ExitStatus.USAGE
    assert words in result.stderr


def test_alias_is_written_beside_what_is_there(run: Run) -> None:
    path = folders().config_file
    path.parent.mkdir(parents=True)
    path.write_text('# 我的设置\ntemperature = 0.5  # warm\n\n[aliases]\nold = "org/old"\n')
    assert run("models", "alias", "small", "qwen3:0.6b").status == ExitStatus.DONE
    assert path.read_text() == '# 我的设置\ntemperature = 0.5  # warm\n\n[aliases]\nold = "org/old"\nsmall = "qwen3:0.6b"\n'
    assert run("models", "alias").stdout == "old\torg/old\nsmall\tqwen3:0.6b\n"
    assert run("models", "alias", "old", "--json").events == [{"name": "old", "target": "org/old"}]
    assert run("models", "alias", "--remove", "old").status == ExitStatus.DONE
    assert run("models", "alias").stdout == "small\tqwen3:0.6b\n"
    assert run("models", "show", "small").stdout.splitlines()[2] == "id\tQwen/Qwen3-0.6B"


def test_an_alias_over_a_name_of_the_catalogue_is_told_and_listed_once(run: Run) -> None:
    result = run("models", "alias", "qwen3:0.6b", "org/mine")
    assert "qwen3:0.6b is the catalogue's name for Qwen/Qwen3-0.6B" in result.stderr
    assert "aigc models alias --remove qwen3:0.6b" in result.stderr
    listed = [line.split("\t") for line in run("models", "list").stdout.splitlines()]
    assert [line[-1] for line in listed if line[0] == "qwen3:0.6b"] == ["org/mine"]
    assert [line[1] for line in listed if line[0] == "Qwen/Qwen3-0.6B"] == ["available"]


def test_an_alias_for_a_path_means_the_same_everywhere(run: Run) -> None:
    write_files(Path("mine"), model_files())
    run("models", "alias", "m", "mine")
    assert run("models", "alias").stdout == f"m\t{Path('mine').absolute()}\n"


@pytest.mark.parametrize(
    ("arguments", "words", "status"),
    [
        (("builtin:mine", "org/name"), "cannot be an alias", ExitStatus.USAGE),
        (("a/b", "org/name"), "cannot be an alias", ExitStatus.USAGE),
        (("mine", "no such thing"), "there is no model 'no such thing'", ExitStatus.MODEL),
        (("mine", "./nowhere"), "there is no file or folder", ExitStatus.MODEL),
        (("mine",), "there is no alias 'mine'", ExitStatus.USAGE),
        (("--remove", "mine"), "there is no alias 'mine'", ExitStatus.USAGE),
        (("--remove",), "--remove wants one alias", ExitStatus.USAGE),
    ],
)
def test_alias_refuses_what_could_not_work(run: Run, arguments: tuple[str, ...], words: str, status: ExitStatus) -> None:
    result = run("models", "alias", *arguments)
    assert (result.status, words in result.stderr) == (status, True), result.stderr
    assert not folders().config_file.exists()


def test_show_of_an_unknown_name_offers_the_nearest(run: Run) -> None:
    result = run("models", "show", "qwen3:0.6")
    assert result.status == ExitStatus.MODEL
    assert result.stderr.splitlines() == ["aigc: there is no model 'qwen3:0.6'", result.stderr.splitlines()[1]]
    assert "did you mean qwen3:0.6b" in result.stderr


def with_memory(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr("aigc_cli.commands.models_fit.memories", lambda: [Memory("cpu", free, ("bfloat16", "float32"))])


def test_fit_tells_dtype_and_context(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with_memory(monkeypatch, 2**30)
    write_files(Path("mine"), model_files())
    result = run("models", "fit", "mine")
    assert result.status == ExitStatus.DONE
    assert result.stdout.splitlines()[0] == "cpu\tbfloat16\tyes\t2.0 KiB\t1.0 GiB\t512\t640.0 KiB"
    assert "mine has 1K parameters: it fits on cpu in bfloat16, with room for 512 tokens of context" in result.stderr


def test_fit_of_a_hub_model_downloads_no_weights(run: Run, hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with_memory(monkeypatch, 2**30)
    hub.add(NAME, model_files()).parameters = 400_000_000
    result = run("models", "fit", NAME, "--json")
    assert result.status == ExitStatus.OUT_OF_MEMORY
    (found,) = result.events
    assert (found["parameters"], found["best"], found["context_length"]) == (400_000_000, None, 512)
    assert [fit["fits"] for fit in found["fits"]] == [False, False]
    assert hub.downloads() == []
    assert NAME not in cells(run("models", "list"))


def test_fit_of_what_it_cannot_tell(run: Run) -> None:
    assert "runs on another machine" in run("models", "fit", "openai:gpt-5").stderr

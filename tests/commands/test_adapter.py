"""--adapter, as a user meets it in `complete` and `chat`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from aigc_cli.models.usage import write_mode
from tests.backends.tiny_adapters import build_adapter
from tests.backends.tiny_models import build_model
from tests.conftest import Result
from tests.fake import FakeTextEngine
from tests.hub_server import HubServer
from tests.models.test_adapters import make_adapter

Run = Callable[..., Result]
GREEDY = ("--temperature", "0", "--max-new-tokens", "8", "--device", "cpu", "--dtype", "float32")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model(tmp_path_factory.mktemp("models") / "base", "llama")


@pytest.fixture(scope="module")
def mine(base: Path) -> Path:
    return build_adapter(base.parent / "mine", base)


def test_what_is_said_changes_and_the_adapter_is_named(run: Run, base: Path, mine: Path) -> None:
    plain = run("complete", "你好", "-m", base, *GREEDY, input="")
    tuned = run("complete", "你好", "-m", base, "--adapter", mine, *GREEDY, "--json", input="")
    off = run("complete", "你好", "-m", base, "--adapter", f"{mine}:0", *GREEDY, input="")
    assert tuned.events[0]["adapters"] == tuned.events[-1]["adapters"] == [str(mine)]
    assert "".join(event.get("text", "") for event in tuned.events) != plain.stdout
    assert (off.status, off.stdout) == (0, plain.stdout)
    assert plain.stderr == off.stderr


def test_several_adapters_add_up(run: Run, base: Path, mine: Path) -> None:
    once = run("complete", "hi", "-m", base, "--adapter", mine, *GREEDY, input="")
    halves = run("complete", "hi", "-m", base, "--adapter", f"{mine}:0.5", "--adapter", f"{mine}:0.5", *GREEDY, input="")
    assert once.stdout == halves.stdout


def test_a_gguf_base(run: Run, base: Path, mine: Path) -> None:
    assert run("export", base, "--to", "gguf", "-o", "base.gguf").status == 0
    result = run("complete", "hi", "-m", "base.gguf", "--adapter", mine, *GREEDY, input="")
    assert (result.status, result.stdout) == (0, run("complete", "hi", "-m", base, "--adapter", mine, *GREEDY, input="").stdout)


def test_the_adapter_says_how_it_wants_to_be_asked(run: Run, fake: type[FakeTextEngine]) -> None:
    write_mode(make_adapter(Path("one")), "raw")
    make_adapter(Path("two"), base_model_name_or_path="org/other")
    result = run("complete", "x", "-m", "org/name", "--adapter", "one", "--adapter", "two:0.5", input="")
    assert result.status == 0
    assert fake.sources[0].mode == "raw"
    assert "the adapter two says that it was trained on org/other, not on org/name" in result.stderr


@pytest.mark.parametrize("command", [("complete", "x", *GREEDY, "--adapter"), ("export", "--to", "merged", "-o", "out")])
def test_a_base_of_another_revision_is_said(command: tuple[str, ...], run: Run, base: Path, mine: Path, hub: HubServer) -> None:
    repository = hub.add("org/base", {path.name: path.read_bytes() for path in base.iterdir()})
    shutil.copytree(mine, "mine")
    config = json.loads(Path("mine/adapter_config.json").read_text())
    Path("mine/adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": "org/base"}))
    Path("mine/aigc.json").write_text(json.dumps({"mode": "raw", "revision": "0123abc"}))
    result = run(*command, "mine", "-m", "org/base", "--yes", input="")
    assert result.status == 0, result.stderr
    assert f"the adapter mine was trained on revision 0123abc of org/base, not on {repository.commit}" in result.stderr
    assert "-m org/base@0123abc" in result.stderr
    Path("mine/aigc.json").write_text(json.dumps({"mode": "raw", "revision": repository.commit}))
    again = ("complete", "x", *GREEDY, "--adapter", "mine", "-m", "org/base")
    assert "revision" not in run(*again, input="").stderr


def test_a_folder_that_says_how_it_wants_to_be_asked(run: Run, tmp_path: Path) -> None:
    whole = build_model(tmp_path / "whole", "llama")
    assert run("complete", "x", "-m", whole, "--json", *GREEDY, input="").events[-1]["mode"] == "chat"
    write_mode(whole, "raw")
    assert run("complete", "x", "-m", whole, "--json", *GREEDY, input="").events[-1]["mode"] == "raw"


@pytest.mark.parametrize("command", ["complete", "chat"])
def test_what_does_not_go_together(run: Run, base: Path, mine: Path, command: str) -> None:
    for arguments, words in (
        (["-m", mine], f"use it with the model it was trained on: -m {base} --adapter {mine}"),
        (["-m", base, "--adapter", base], f"use it by itself: -m {base}"),
        (["-m", base, "--adapter", "nowhere"], "there is no adapter nowhere"),
        (["-m", "openai:any", "--base-url", "http://127.0.0.1:9", "--adapter", mine], "--adapter has no effect on a remote model"),
    ):
        result = run(command, "hi", *arguments, input="")
        assert result.stdout == ""
        assert words in result.stderr


def test_peft_is_imported_for_an_adapter_only(base: Path, mine: Path) -> None:

    code = "import sys; from aigc_cli.__main__ import main; main(sys.argv[1:]); sys.exit('peft' in sys.modules)"
    for arguments, imported in (([], 0), (["--adapter", str(mine)], 1)):
        command = [sys.executable, "-c", code, "complete", "hi", "-m", str(base), *GREEDY, *arguments]
        assert subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True).returncode == imported

"""What a name stands for."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import ExitStatus, ModelError, UsageError
from aigc_cli.models.aliases import set_alias
from aigc_cli.models.catalogue import BUILTINS, catalogue
from aigc_cli.models.names import HUB_ID, HubId, RemoteName, identify, is_remote
from aigc_cli.models.resolve import resolve
from aigc_cli.settings import folders
from tests.model_files import LLAMA_GGUF, gguf_bytes, model_files, write_files


def local(name: str) -> ModelSource:
    """Resolves a name that needs no download."""
    with pytest.raises(StopIteration) as end:
        next(resolve(name))
    source: ModelSource = end.value.value
    return source


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("qwen3:0.6b", HubId("Qwen/Qwen3-0.6B")),
        ("org/name", HubId("org/name")),
        ("org/name@v1.0", HubId("org/name", "v1.0")),
        ("org/name@refs/pr/3", HubId("org/name", "refs/pr/3")),
        ("org/name:x-Q4_K_M.gguf", HubId("org/name", file="x-Q4_K_M.gguf")),
        ("org/name@v1:x.gguf", HubId("org/name", "v1", "x.gguf")),
        ("org/name:sd-v1.5_pruned.safetensors", HubId("org/name", file="sd-v1.5_pruned.safetensors")),
        ("openai:gpt-5/mini", RemoteName("gpt-5/mini")),
        ("builtin:text", BUILTINS["builtin:text"]),
    ],
)
def test_names_are_identified(name: str, expected: Any) -> None:
    assert identify(name) == expected


PATHS = ["./model", "~/nowhere", "/nowhere", "a/b/c", "models/x.gguf", "x.safetensors", "../x", "组织/模型", "a b/c"]


@pytest.mark.parametrize("name", PATHS)
def test_a_path_that_is_not_there_is_not_looked_for_on_the_hub(name: str) -> None:
    with pytest.raises(ModelError, match="there is no file or folder") as caught:
        identify(name)
    assert name in caught.value.message
    assert caught.value.status == ExitStatus.MODEL


@pytest.mark.parametrize("name", ["org/../../etc", "org/name@../x", "org/name:../x.gguf", "org/name:../x.safetensors", "../org/name"])
def test_no_name_leads_out_of_the_cache(name: str) -> None:
    with pytest.raises(ModelError):
        identify(name)


def test_a_folder_here_comes_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path / "org/name", model_files())
    assert local("org/name") == ModelSource(name="org/name", kind="folder", path=Path("org/name"))


def test_a_gguf_file_and_a_folder_with_a_chinese_name(tmp_path: Path) -> None:
    write_files(tmp_path / "模型", {**model_files(), "x.gguf": gguf_bytes(LLAMA_GGUF, 10)})
    assert local(f"{tmp_path}/模型/x.gguf").kind == "gguf"
    assert local(f"{tmp_path}/模型").path == tmp_path / "模型"


def test_a_home_folder_is_expanded(own_home: Path) -> None:
    write_files(own_home / "m", model_files())
    assert local("~/m").path == own_home / "m"


def test_a_remote_model_keeps_its_name() -> None:
    assert local("openai:gpt-5") == ModelSource(name="openai:gpt-5", kind="openai")


def test_an_alias_of_a_remote_model_stands_for_the_name_that_the_endpoint_knows() -> None:
    set_alias("我的", "openai:gpt-5")
    assert local("我的") == ModelSource(name="openai:gpt-5", kind="openai")
    assert is_remote("我的")
    assert not is_remote("gpt-5")


def test_an_alias_of_the_users_comes_before_the_catalogues(tmp_path: Path) -> None:
    set_alias("qwen3:0.6b", str(write_files(tmp_path / "mine", model_files())))
    assert local("qwen3:0.6b").path == tmp_path / "mine"


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("qwen3", "qwen3:4b"),
        ("smolm2:360m", "smollm2:360m"),
        ("builtin:txt", "builtin:text"),
        ("QWEN3:0.6B", "qwen3:0.6b"),
        ("mien", "mine"),
    ],
)
def test_an_unknown_name_offers_the_nearest(name: str, suggestion: str) -> None:
    set_alias("mine", "org/name")
    with pytest.raises(ModelError, match=f"there is no model '{re.escape(name)}'") as caught:
        identify(name)
    assert suggestion in caught.value.hint


@pytest.mark.parametrize("name", ["", " ", "什么", "x" * 5000, "openai:"])
def test_names_like_nothing_are_refused(name: str) -> None:
    with pytest.raises(ModelError, match="there is no model"):
        identify(name)


def test_an_image_model_is_refused_before_it_is_downloaded() -> None:
    with pytest.raises(ModelError, match=r"sd1\.5 is an image model"):
        next(resolve("sd1.5"))


def test_a_missing_built_in_model_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(BUILTINS, "builtin:text", replace(BUILTINS["builtin:text"], path=tmp_path / "none"))
    with pytest.raises(ModelError, match="lacks its built-in model"):
        next(resolve("builtin:text"))


def test_aliases_that_are_no_names_of_models_are_refused() -> None:
    path = folders().config_file
    path.parent.mkdir(parents=True)
    path.write_text("[aliases]\nmine = 3\n")
    with pytest.raises(UsageError, match="must map names to models"):
        identify("mine")


def test_the_catalogue_is_sound() -> None:
    entries = catalogue()
    assert len({entry.id for entry in entries.values()}) == len(entries) >= 15
    for alias, entry in entries.items():
        assert HUB_ID.fullmatch(entry.id), alias
        assert "/" not in alias
        assert entry.modality in ("text", "image"), alias
        assert (entry.mode in ("chat", "raw")) == (entry.modality == "text"), alias

"""A CLIP is found by its name, and what is none is told before it is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from aigc_cli.core.errors import ModelError
from aigc_cli.core.events import Event, Progress
from aigc_cli.models.resolve_clip import resolve_clip
from tests.hub_server import HubServer
from tests.model_files import model_files, safetensors_bytes, write_files

USUAL = "openai/clip-vit-large-patch14"


def clip_files(**changes: bytes | None) -> dict[str, bytes]:
    """None leaves a file out."""
    files = {
        "config.json": json.dumps({"architectures": ["CLIPModel"], "model_type": "clip"}).encode(),
        "model.safetensors": safetensors_bytes(),
        "preprocessor_config.json": b"{}",
        "vocab.json": b"{}",
        "merges.txt": b"",
    }
    return {name: content for name, content in {**files, **changes}.items() if content is not None}


def drive(name: str | Path, **options: Any) -> tuple[list[Event], Path]:
    stream, seen = resolve_clip(str(name), **options), []
    while True:
        try:
            seen.append(next(stream))
        except StopIteration as end:
            return seen, end.value


def refusal(name: str | Path) -> str:
    with pytest.raises(ModelError) as caught:
        drive(name)
    return f"{caught.value.message}: {caught.value.hint}"


def test_clip_stands_for_the_usual_one_pinned_to_a_commit(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = hub.add(USUAL, {**clip_files(), "pytorch_model.bin": b"pickle", "tf_model.h5": b"x"})
    events, path = drive("clip")
    assert path.name == repository.commit
    assert {file.name for file in path.iterdir()} == set(clip_files())
    assert any(isinstance(event, Progress) for event in events)
    repository.update(clip_files(**{"vocab.json": b'{"a": 1}'}))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert drive("clip") == ([], path)


def test_a_folder_stands_for_itself(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "评分", clip_files())
    assert drive(folder) == ([], folder)


def test_a_large_download_is_asked_about(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aigc_cli.models.hub.ASK_ABOVE", 100)
    hub.add("org/clip", clip_files())
    with pytest.raises(ModelError, match="org/clip was not downloaded"):
        drive("org/clip", confirm=lambda question: False)
    assert drive("org/clip", assume_yes=True, confirm=lambda question: False)[1].is_dir()


@pytest.mark.parametrize("config", [{"architectures": ["LlamaForCausalLM"], "model_type": "llama"}, {"model_type": "siglip"}])
def test_another_model_of_the_hub_is_not_downloaded(hub: HubServer, config: dict[str, Any]) -> None:
    hub.add("org/other", model_files(**config))
    assert f"org/other holds no CLIP, but a model of type {config['model_type']}: name a folder or a Hub id with a CLIP" in refusal(
        "org/other"
    )
    assert hub.downloads() == []


def test_a_pipeline_of_the_hub_is_not_downloaded(hub: HubServer) -> None:
    index = b'{"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}'
    hub.add("org/pipe", {"model_index.json": index, "unet/diffusion_pytorch_model.safetensors": safetensors_bytes()})
    assert "org/pipe holds no CLIP" in refusal("org/pipe")
    assert hub.downloads() == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"config.json": None}, "it has no config.json"),
        ({"config.json": b'{"model_type": "clip_text_model"}'}, "but a model of type clip_text_model"),
        ({"config.json": b"["}, "is damaged"),
        ({"model.safetensors": None, "pytorch_model.bin": b"PK"}, "only as a pickle"),
        ({"model.safetensors": safetensors_bytes()[:-1]}, "is damaged"),
        ({"vocab.json": None}, "has no tokenizer"),
        ({"preprocessor_config.json": None}, "has no preprocessor_config.json"),
    ],
)
def test_what_a_folder_lacks_is_named(tmp_path: Path, changes: dict[str, bytes | None], words: str) -> None:
    assert words in refusal(write_files(tmp_path / "c", clip_files(**changes)))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("builtin:text", "builtin:text is no CLIP"),
        ("openai:gpt", "openai:gpt is no CLIP"),
        ("sd1.5", "is an image model, not a CLIP"),
        ("qwen3:0.6b", "is a language model, not a CLIP"),
        ("./nowhere", "there is no file or folder"),
        ("clipp", "there is no model 'clipp'"),
    ],
)
def test_a_name_that_is_no_clip_is_refused(name: str, words: str) -> None:
    assert words in refusal(name)


def test_nothing_is_downloaded_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE forbids a download" in refusal("clip")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    write_files(tmp_path, {"clip.safetensors": safetensors_bytes()})
    assert "is a file, not the folder of a CLIP" in refusal(tmp_path / "clip.safetensors")

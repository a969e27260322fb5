"""What is no language model is told apart before anything slow happens."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from aigc_cli.core.errors import ExitStatus, ModelError
from aigc_cli.models.check import check_model
from tests.model_files import LLAMA_GGUF, gguf_bytes, model_files, safetensors_bytes, write_files


def refusal(path: Path) -> str:
    """What check_model says, hint included; a path is always in it."""
    with pytest.raises(ModelError) as caught:
        check_model(path)
    assert caught.value.status == ExitStatus.MODEL
    assert str(path.parent) in caught.value.message
    return f"{caught.value.message}: {caught.value.hint}"


def test_a_folder_stands_for_itself(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "模型", model_files())
    assert check_model(folder) == ("folder", folder)


def test_its_weights_stand_for_the_folder(tmp_path: Path) -> None:
    folder = write_files(tmp_path, model_files())
    assert check_model(folder / "model.safetensors") == ("folder", folder)


@pytest.mark.parametrize("name", ["stories260K-f32.gguf", "stories260K-q8_0.gguf", "llama-2-tiny-random.gguf"])
def test_real_gguf_files_pass(data: Path, name: str) -> None:
    path = data / "models/gguf" / name
    assert check_model(path) == ("gguf", path)


def test_a_real_folder_passes(data: Path) -> None:
    assert check_model(data / "models/stories260K-hf")[0] == "folder"


@pytest.mark.parametrize("name", ["ggml-vocab-gpt-2.gguf", "ggml-vocab-phi-3.gguf"])
def test_a_vocabulary_is_no_model(data: Path, name: str) -> None:
    assert "holds a vocabulary only, no weights" in refusal(data / "models/gguf" / name)


@pytest.mark.parametrize("share", [0.001, 0.01, 0.3, 0.999])
@pytest.mark.parametrize("name", ["gguf/stories260K-q8_0.gguf", "stories260K-hf/model.safetensors"])
def test_a_file_that_was_cut_is_damaged(data: Path, tmp_path: Path, name: str, share: float) -> None:
    whole = (data / "models" / name).read_bytes()
    path = tmp_path / Path(name).name
    path.write_bytes(whole[: int(len(whole) * share)])
    assert "is damaged" in refusal(path)
    assert "fetch the file again" in refusal(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it has 0 bytes"),
        (b"\xff" * 100, "its header would be"),
        (struct.pack("<Q", 4) + b"null" + b"\0" * 8, "not what safetensors prescribes"),
        (struct.pack("<Q", 2) + b"[]", "not what safetensors prescribes"),
        (struct.pack("<Q", 31) + b'{"w": {"data_offsets": [0, {}]}}', "not what safetensors prescribes"),
        (safetensors_bytes()[:-1], "it should have"),
    ],
)
def test_damaged_safetensors(tmp_path: Path, content: bytes, words: str) -> None:
    folder = write_files(tmp_path / "m", model_files() | {"model.safetensors": content})
    assert words in refusal(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "does not begin as a GGUF file does"),
        (b"GGML" + b"\0" * 100, "does not begin as a GGUF file does"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "its GGUF version is 1"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 2**60), "in the middle of its header"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + struct.pack("<Q", 2**63), "in the middle of its header"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 1) + b"k" + struct.pack("<I", 99), "unknown type 99"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 1) + b"k" + struct.pack("<IIQ", 9, 9, 1), "array of the unknown type 9"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 1) + b"k" + struct.pack("<IIQ", 9, 10, 2**62), "in the middle of its header"),
        (gguf_bytes(LLAMA_GGUF, 100)[:-1], "it should have"),
        (gguf_bytes({"general.alignment": 0}, 100), "its alignment is 0"),
        (gguf_bytes({}, 100), "no general.architecture"),
        (gguf_bytes({"general.architecture": "clip"}, 100), "the image part of a model"),
        (gguf_bytes({"general.architecture": "llama"}, 100), "has no tokenizer: it has no tokenizer.ggml.model"),
    ],
)
def test_damaged_gguf(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "x.gguf").write_bytes(content)
    assert words in refusal(tmp_path / "x.gguf")


def test_a_folder_without_a_config_says_what_it_holds_instead(tmp_path: Path) -> None:
    assert "holds no language model: it has no config.json" in refusal(write_files(tmp_path / "a", {"readme.txt": b""}))
    assert f"-m {tmp_path}/b/x.gguf" in refusal(write_files(tmp_path / "b", {"x.gguf": b""}))
    assert "is an adapter" in refusal(write_files(tmp_path / "c", {"adapter_config.json": b"{}"}))
    assert "holds x.pth: a pickle can run code" in refusal(write_files(tmp_path / "d", {"x.pth": b""}))


def test_a_diffusers_pipeline_is_an_image_model(tmp_path: Path) -> None:
    assert "holds an image model" in refusal(write_files(tmp_path / "m", {"model_index.json": b"{}", "unet/config.json": b"{}"}))


@pytest.mark.parametrize("architecture", ["BertForMaskedLM", "ViTForImageClassification", "BertModel", "LlamaModel"])
def test_other_architectures_are_named(tmp_path: Path, architecture: str) -> None:
    folder = write_files(tmp_path / "m", model_files(architectures=[architecture]))
    assert f"holds no language model but a {architecture}" in refusal(folder)


@pytest.mark.parametrize("architecture", ["GPT2LMHeadModel", "T5ForConditionalGeneration", "Qwen3ForCausalLM", "BartModel"])
def test_architectures_that_write_text_pass(tmp_path: Path, architecture: str) -> None:
    assert check_model(write_files(tmp_path / "m", model_files(architectures=[architecture])))[0] == "folder"


def test_a_config_without_architectures_is_left_to_the_engine(tmp_path: Path) -> None:
    assert check_model(write_files(tmp_path / "m", model_files(architectures=None)))[0] == "folder"


@pytest.mark.parametrize(
    ("config", "words"),
    [(b"{", "it is no JSON"), (b"[]", "no JSON object"), (b"{}", "describes no model"), (b'{"architectures": 3}', "no list")],
)
def test_a_config_that_says_nothing(tmp_path: Path, config: bytes, words: str) -> None:
    assert words in refusal(write_files(tmp_path / "m", model_files() | {"config.json": config}))


def test_missing_weights_pickles_and_other_names(tmp_path: Path) -> None:
    files = model_files()
    weights = files.pop("model.safetensors")
    assert "has no weights" in refusal(write_files(tmp_path / "a", files))
    assert "only as a pickle: pytorch_model.bin" in refusal(write_files(tmp_path / "b", files | {"pytorch_model.bin": b""}))
    assert "has no weights" in refusal(write_files(tmp_path / "c", files | {"training_args.bin": b""}))
    assert "there is weights.safetensors" in refusal(write_files(tmp_path / "d", files | {"weights.safetensors": weights}))


def test_shards_must_all_be_there(tmp_path: Path) -> None:
    files = model_files()
    part = files.pop("model.safetensors")
    files["model.safetensors.index.json"] = json.dumps({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}).encode()
    folder = write_files(tmp_path / "m", files | {"1.safetensors": part})
    assert "lacks 1 of 2 weight files: 2.safetensors" in refusal(folder)
    (folder / "2.safetensors").write_bytes(part[:-1])
    assert "2.safetensors is damaged" in refusal(folder)
    (folder / "2.safetensors").write_bytes(part)
    assert check_model(folder) == ("folder", folder)
    (folder / "model.safetensors.index.json").write_bytes(b'{"weight_map": []}')
    assert "it names no files" in refusal(folder)


def test_a_tokenizer_must_be_there(tmp_path: Path) -> None:
    files = model_files()
    del files["tokenizer.json"]
    folder = write_files(tmp_path / "m", files)
    assert "has no tokenizer" in refusal(folder)
    write_files(folder, {"vocab.json": b"{}"})
    assert "has no tokenizer" in refusal(folder)
    write_files(folder, {"merges.txt": b""})
    assert check_model(folder)[0] == "folder"


def test_a_tokenizer_of_bytes_needs_no_vocabulary(tmp_path: Path) -> None:
    files = model_files() | {"tokenizer_config.json": b'{"tokenizer_class": "ByT5Tokenizer"}'}
    del files["tokenizer.json"]
    assert check_model(write_files(tmp_path / "m", files))[0] == "folder"


def test_single_files_that_are_no_model(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.safetensors": safetensors_bytes(), "b.pth": b"PK\x03\x04", "c.txt": b"", "d.bin": b"\x80\x02"})
    assert "has no config.json beside it" in refusal(tmp_path / "a.safetensors")
    assert "b.pth is a pickle" in refusal(tmp_path / "b.pth")
    assert "d.bin is a pickle" in refusal(tmp_path / "d.bin")
    assert "is no model that aigc knows" in refusal(tmp_path / "c.txt")
    write_files(tmp_path, {"llama2c.bin": b"\x00\x01\x00\x00"})
    assert "is no model that aigc knows" in refusal(tmp_path / "llama2c.bin")
    write_files(tmp_path, model_files())
    assert "is not the weights of the model in its folder" in refusal(tmp_path / "a.safetensors")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "m", model_files())
    (folder / "model.safetensors").chmod(0)
    assert "permission denied" in refusal(folder)


def test_a_check_imports_nothing_slow(data: Path) -> None:
    code = """
import sys
from pathlib import Path
from aigc_cli.models.check import check_model
for path in sys.argv[1:]:
    check_model(Path(path))
assert not {"torch", "transformers", "huggingface_hub"} & set(sys.modules)
"""
    paths = [data / "models/stories260K-hf", data / "models/gguf/stories260K-q8_0.gguf"]
    subprocess.run([sys.executable, "-c", code, *map(str, paths)], check=True, timeout=60)


def test_changed_bytes_are_refused_or_pass_and_nothing_else(data: Path, tmp_path: Path) -> None:
    whole = (data / "models/gguf/stories260K-q8_0.gguf").read_bytes()
    path = tmp_path / "x.gguf"
    for at in range(0, 400):
        path.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
        with contextlib.suppress(ModelError):
            check_model(path)


@pytest.mark.parametrize("name", ["model.safetensors", "model.gguf"])
def test_a_pointer_of_git_lfs_is_told(tmp_path: Path, name: str) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    write_files(tmp_path, model_files() | {name: pointer})
    assert "git lfs pull" in refusal(tmp_path / name)

"""The same weights have the same fingerprint, wherever they lie; others have another."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import ModelError
from aigc_cli.models.catalogue import BUILTINS
from aigc_cli.models.fingerprint import SAMPLE, WHOLE_BELOW, fingerprint, fingerprint_path
from aigc_cli.models.hub_cache import repo_folder
from tests.model_files import model_files, safetensors_bytes, write_files

COMMIT, OTHER_COMMIT = "0123456789" * 4, "9876543210" * 4
INDEX = b'{"unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"], "safety_checker": [null, null]}'
PIPELINE = {"model_index.json": INDEX, "unet/config.json": b"{}", "unet/diffusion_pytorch_model.safetensors": safetensors_bytes()}


def source(path: Path, **facts: Path) -> ModelSource:
    return ModelSource(name="whatever", kind="diffusers", path=path, **facts)  # type: ignore[arg-type]


def test_a_folder_is_the_same_after_it_was_moved(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "a", PIPELINE)
    first = fingerprint(source(folder))
    moved = shutil.copytree(folder, tmp_path / "模型")
    assert fingerprint(source(moved)) == first == fingerprint_path(moved)
    assert len(first) == 64
    int(first, 16)


@pytest.mark.parametrize(
    "changed",
    [
        {"unet/config.json": b'{"a": 1}'},
        {"unet/diffusion_pytorch_model.safetensors": safetensors_bytes(filler=b"\x02")},
        {"vae/config.json": b"{}"},
        {"model_index.json": INDEX.replace(b"KL", b"Tiny")},
    ],
)
def test_another_config_or_weight_or_part_is_another_model(tmp_path: Path, changed: dict[str, bytes]) -> None:
    first = fingerprint_path(write_files(tmp_path / "a", PIPELINE))
    assert fingerprint_path(write_files(tmp_path / "b", PIPELINE | changed)) != first


def test_what_lies_beside_a_model_does_not_count(tmp_path: Path) -> None:
    first = fingerprint_path(write_files(tmp_path / "a", PIPELINE))
    beside = {"README.md": b"x", "preview.png": b"x", ".git/objects/ab/config.json": b"x"}
    of_no_part = {"notes.txt": b"x", "a.safetensors": b"x", "gallery/sheet.json": b"x", "safety_checker/config.json": b"{}"}
    assert fingerprint_path(write_files(tmp_path / "b", PIPELINE | beside | of_no_part)) == first


def test_a_file_is_the_same_under_another_name(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.safetensors": safetensors_bytes(), "b.safetensors": safetensors_bytes(), "c.safetensors": b"other"})
    a, b, c = (fingerprint_path(tmp_path / f"{name}.safetensors") for name in "abc")
    assert a == b != c


@pytest.mark.parametrize("place", [0, WHOLE_BELOW, 2 * WHOLE_BELOW])
def test_a_large_file_is_read_at_its_beginning_middle_and_end(tmp_path: Path, place: int) -> None:
    content = bytearray(2 * WHOLE_BELOW + 1)
    (tmp_path / "a").write_bytes(content)
    content[place] = 1
    (tmp_path / "b").write_bytes(content)
    assert fingerprint_path(tmp_path / "a") != fingerprint_path(tmp_path / "b")


def test_a_large_file_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "huge.safetensors"
    with path.open("wb") as file:
        file.truncate(2**40)  # a hole, which would take minutes to read
    assert fingerprint_path(path)


def test_a_file_of_the_threshold_is_told_from_its_neighbours(tmp_path: Path) -> None:
    sizes = (WHOLE_BELOW - 1, WHOLE_BELOW, WHOLE_BELOW + 1, 3 * SAMPLE)
    for size in sizes:
        (tmp_path / str(size)).write_bytes(bytes(size))
    assert len({fingerprint_path(tmp_path / str(size)) for size in sizes}) == len(sizes)


def test_a_model_of_the_hub_is_its_commit(tmp_path: Path, own_home: Path) -> None:
    snapshot = repo_folder("Org/Name") / "snapshots" / COMMIT
    write_files(snapshot, PIPELINE)
    first = fingerprint(source(snapshot))
    write_files(snapshot, {"vae/config.json": b"{}"})  # a download that went on
    assert fingerprint(source(snapshot)) == first
    spelt_otherwise = write_files(repo_folder("org/name") / "snapshots" / COMMIT, PIPELINE)
    assert fingerprint(source(spelt_otherwise)) == first
    assert fingerprint(source(snapshot.with_name(OTHER_COMMIT))) != first
    assert fingerprint(source(snapshot / "x.safetensors")) not in (first, fingerprint(source(snapshot / "y.safetensors")))
    assert fingerprint(source(write_files(tmp_path / COMMIT, PIPELINE))) != first


def test_a_file_counts_with_the_folder_that_completes_it(tmp_path: Path) -> None:
    path = write_files(tmp_path, {"flux.gguf": b"GGUF"}) / "flux.gguf"
    a, b = write_files(tmp_path / "a", PIPELINE), write_files(tmp_path / "b", PIPELINE | {"vae/config.json": b"{}"})
    assert len({fingerprint(source(path)), fingerprint(source(path, base=a)), fingerprint(source(path, base=b))}) == 3


def test_a_built_in_model_goes_by_its_name_and_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_files(tmp_path / "builtin", model_files())
    text = BUILTINS["builtin:text"]
    monkeypatch.setitem(BUILTINS, "builtin:text", type(text)(name="builtin:text", path=folder, modality="text", mode="raw"))
    first = fingerprint(source(folder))
    monkeypatch.setattr("aigc_cli.models.fingerprint.__version__", "9.9")
    assert fingerprint(source(folder)) != first
    assert fingerprint_path(folder) != first


def test_a_remote_model_goes_by_its_name() -> None:
    a, b = (fingerprint(ModelSource(name=f"openai:{name}", kind="openai")) for name in "ab")
    assert a != b


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"缺\.safetensors: no such file"):
        fingerprint_path(tmp_path / "缺.safetensors")

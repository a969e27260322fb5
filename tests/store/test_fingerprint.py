"""A model is known by its files' contents, wherever they lie."""

from __future__ import annotations

import shutil
from pathlib import Path

from aigc_cli.store.fingerprint import fingerprint
from aigc_cli.store.manifest import sha256_of


def make_model(folder: Path) -> Path:
    folder.mkdir()
    for name, content in (
        ("model.safetensors", b"weights"),
        ("config.json", b"{}"),
        ("tokenizer.json", "词".encode()),
        ("README.md", b"a"),
    ):
        (folder / name).write_bytes(content)
    return folder


def test_it_follows_the_files_that_decide(tmp_path: Path) -> None:
    model = make_model(tmp_path / "模型")
    first = fingerprint(model)
    assert fingerprint(Path(shutil.copytree(model, tmp_path / "copy"))) == first
    (model / "README.md").write_text("another")
    (model / "run.json").write_text("{}")
    assert fingerprint(model) == first
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        before = (model / name).read_bytes()
        (model / name).write_bytes(before + b"!")
        assert fingerprint(model) != first
        (model / name).write_bytes(before)
    assert fingerprint(model, model / "README.md") != first


def test_the_cache_of_the_hub_is_taken_at_its_word(tmp_path: Path) -> None:
    model = make_model(tmp_path / "plain")
    blob = tmp_path / "blobs" / sha256_of(model / "model.safetensors")
    snapshot = Path(shutil.copytree(model, tmp_path / "snapshot"))
    (snapshot / "model.safetensors").unlink()
    (snapshot / "model.safetensors").symlink_to(blob)
    blob.parent.mkdir()
    blob.write_bytes(b"not read at all")
    assert fingerprint(snapshot) == fingerprint(model)

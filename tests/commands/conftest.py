"""Models and runs that several tests of `aigc finetune` look at, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.backends.tiny_models import build_model
from tests.commands.finetuning import BRIEF, exchanges, finetune, write_rows


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers."""
    return build_model(tmp_path_factory.mktemp("models") / "tiny", "llama")


@pytest.fixture(scope="session")
def dropping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 of two layers, which has dropout."""
    return build_model(tmp_path_factory.mktemp("models") / "dropping", "gpt2")


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "data.jsonl", exchanges(40))


@pytest.fixture(scope="session")
def lora_run(tiny: Path, rows: Path) -> Path:
    """The folder of a finished run. Not to be changed."""
    folder = tiny.parent / "lora"
    finetune(rows, "-m", tiny, "-o", folder, *BRIEF)
    return folder


@pytest.fixture(scope="session")
def full_run(tiny: Path, rows: Path) -> Path:
    """The folder of a finished run. Not to be changed."""
    folder = tiny.parent / "full"
    finetune(rows, "-m", tiny, "-o", folder, "--method", "full", *BRIEF)
    return folder

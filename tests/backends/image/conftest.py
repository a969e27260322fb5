"""Engines over tiny pipelines."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # before it is imported: it remarks on what is not installed

from aigc_cli.backends.device import Placement
from aigc_cli.backends.image.engine import TorchImageEngine
from aigc_cli.core.engine import ModelSource
from tests.backends.image.tiny_pipelines import tiny_pipeline

OpenEngine = Callable[..., TorchImageEngine]


@pytest.fixture(scope="module")
def open_engine() -> OpenEngine:
    """An engine over the tiny pipeline of a family, built once for each test file."""
    engines: dict[str, TorchImageEngine] = {}

    def get(family: str) -> TorchImageEngine:
        if family not in engines:
            source = ModelSource(name=f"tiny-{family}", kind="diffusers")
            engines[family] = TorchImageEngine.over(tiny_pipeline(family), source, Placement("cpu", "float32", ""))
        return engines[family]

    return get

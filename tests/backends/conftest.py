"""Engines' other ends."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.openai_server import OpenAIServer

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: threads cost more than two small layers do


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """An OpenAI-compatible endpoint on this machine."""
    server = OpenAIServer()
    yield server
    server.close()

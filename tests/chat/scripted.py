"""`aigc` over the scripted engine, as a process of its own: `python -m tests.chat.scripted SECONDS ARGUMENT...`.

SECONDS is the wait before each word. The engine echoes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import aigc_cli.models.resolve
from aigc_cli.__main__ import entry
from aigc_cli.backends import ENGINES
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.events import Event
from aigc_cli.core.request import TextRequest
from tests.fake import FakeTextEngine

PAUSE = float(sys.argv.pop(1))


def resolve(name: str, **options: Any) -> Generator[Event, None, ModelSource]:
    yield from ()
    return ModelSource(name=name, kind="folder", path=Path())


class SlowEngine(FakeTextEngine):
    def stream(self, request: TextRequest) -> Iterator[Event]:
        for event in super().stream(request):
            time.sleep(PAUSE)
            yield event


aigc_cli.models.resolve.resolve = resolve
ENGINES["text"]["folder"] = f"{__name__}:SlowEngine"
entry()

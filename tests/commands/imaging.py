"""What the tests of `aigc image` share: runs that must succeed, files of prompts, and what a folder of pictures holds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from tests.conftest import Result, run_here
from tests.fake_image import FakeImageEngine

OUT = Path("out")
TEN = "".join(f"第{number}只 cat\n" for number in range(10))  # prompts


def draw(*args: str | Path | int, input: str | bytes | None = None) -> Result:
    """A run that must succeed."""
    result = run_here("image", *map(str, args), input=input)
    assert result.status == 0, result.stderr
    return result


def write(name: str, content: str | Sequence[Mapping[str, Any]]) -> Path:
    """A file of prompts: text as it stands, rows as JSON lines."""
    path = Path(name)
    lines = content if isinstance(content, str) else "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content)
    path.write_text(lines, "utf-8")
    return path


def names(folder: Path = OUT) -> list[str]:
    """Of the pictures; none where there is no folder."""
    return sorted(path.name for path in folder.glob("*") if path.suffix in (".png", ".jpg", ".webp"))


def records(folder: Path = OUT) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text("utf-8").split("\n") if line]


def pixels(folder: Path = OUT) -> dict[str, bytes]:
    """By name, of every picture."""
    return {name: Image.open(folder / name).convert("RGB").tobytes() for name in names(folder)}


def recipe(path: Path | str) -> dict[str, Any]:
    """As `aigc show` tells it."""
    [told] = run_here("show", "--json", path).events
    return told


def drawn() -> list[list[tuple[str, int]]]:
    """What the engine has drawn, batch by batch: prompts and seeds. It is forgotten."""
    batches = [[(request.prompt, request.seed) for request in batch] for batch in FakeImageEngine.batches]
    FakeImageEngine.batches.clear()
    return batches


def refused(*args: str | Path | int, input: str | bytes | None = None, status: int = 2) -> str:
    """What is said of a run that must fail before an engine is opened."""
    result = run_here("image", *map(str, args), input=input)
    assert result.status == status, (result.status, result.stderr)
    assert result.stdout == ""
    assert not FakeImageEngine.opened
    return result.stderr


def picture(name: str, mode: str = "RGB", size: tuple[int, int] = (64, 64), **options: Any) -> str:
    """Writes one, all red, and gives its name."""
    Image.new(mode, size, "red").save(name, **options)
    return name

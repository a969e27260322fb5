"""A folder of pictures as one page that needs nothing beside it but the pictures themselves."""

from __future__ import annotations

import base64
import hashlib
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import jinja2

from aigc_cli.pictures.recipe import Recipe, command_line
from aigc_cli.pictures.sheet import thumbnail

TEMPLATE, SCRIPT = "gallery.html", "gallery.js"
THUMBNAIL = 320  # pixels of its longer side
QUALITY = 80


@dataclass(frozen=True)
class Entry:
    """A picture in the gallery. path: where it is.  recipe: how it was made, where that is known."""

    path: Path
    recipe: Recipe | None


@dataclass(frozen=True)
class Shown:
    """What the template shows of an entry. thumbnail: a data address.  address: of the full picture, relative to the page."""

    name: str
    address: str
    thumbnail: str
    width: int
    height: int
    prompt: str
    negative_prompt: str
    facts: tuple[tuple[str, str], ...]
    command: str


def gallery_html(entries: Sequence[Entry], folder: Path, title: str) -> str:
    """The page, to be written into `folder`, below which the pictures lie. Raises: UsageError for one that cannot be opened."""
    files = resources.files("aigc_cli.pictures")
    script = files.joinpath(SCRIPT).read_text("utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files.joinpath(TEMPLATE).read_text("utf-8"))
    return template.render(
        title=visible(title),
        entries=[shown(entry, folder) for entry in entries],
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def shown(entry: Entry, folder: Path) -> Shown:
    picture = thumbnail(entry.path, THUMBNAIL)
    file = BytesIO()
    picture.save(file, "JPEG", quality=QUALITY)
    recipe = entry.recipe
    return Shown(
        name=visible(entry.path.name),
        address=quote(os.fsencode(os.path.relpath(entry.path, folder).replace(os.sep, "/"))),
        thumbnail=f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}",
        width=picture.width,
        height=picture.height,
        prompt=visible(recipe.prompt) if recipe else "",
        negative_prompt=visible(str(recipe.settings.get("negative_prompt", ""))) if recipe else "",
        facts=facts_of(recipe) if recipe else (),
        command=visible(command_line(recipe)) if recipe else "",
    )


def facts_of(recipe: Recipe) -> tuple[tuple[str, str], ...]:
    settings = recipe.settings
    size = f"{settings['width']} x {settings['height']}" if "width" in settings and "height" in settings else None
    facts = (
        ("seed", recipe.seed),
        ("size", size),
        ("steps", settings.get("steps")),
        ("guidance", settings.get("guidance_scale")),
        ("scheduler", settings.get("scheduler")),
        ("model", recipe.model),
        ("score", None if recipe.score is None else f"{recipe.score:.3f}"),
    )
    return tuple((name, visible(str(value))) for name, value in facts if value is not None)


def visible(text: str) -> str:
    """The text without control characters and lone surrogates, for which HTML has no place."""
    return "".join(char for char in text if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cs"))

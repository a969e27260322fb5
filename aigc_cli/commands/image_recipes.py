"""How the pictures of a run are made, as it is written into their files."""

from __future__ import annotations

import dataclasses
from concurrent.futures import Future
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from threading import Thread

from aigc_cli import __version__
from aigc_cli.batch.plan import Item
from aigc_cli.commands.image_draw import Picture
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.events import Loaded
from aigc_cli.core.image import ImageEngineOptions
from aigc_cli.models.fingerprint import fingerprint
from aigc_cli.pictures.recipe import LORA, Part, Recipe, settings_of
from aigc_cli.store.manifest import sha256_of

PACKAGES = ("torch", "diffusers", "transformers")
SINGLE_FILES = ("checkpoint", "image-gguf")


class Recipes:
    """Of one run. Files are hashed once, a model's that is a single file beside other work."""

    def __init__(self, source: ModelSource, options: ImageEngineOptions) -> None:
        self.source, self.options = source, options
        self.hashes: dict[Path, str] = {}
        self.model_sha256: Future[str] | None = None

    def start_hashing(self) -> None:
        """Of a model that is one large file, in a thread that nobody waits for who does not need the result."""
        if self.source.kind in SINGLE_FILES and self.source.path:
            self.model_sha256 = Future()
            Thread(target=hash_into, args=(self.model_sha256, self.source.path), daemon=True).start()

    def recipe(self, picture: Picture, loaded: Loaded) -> Recipe:
        item = picture.item
        is_together = picture.batch_size > 1
        return dataclasses.replace(
            self.common(loaded),
            settings=settings_of(item.request),
            typed_prompt=item.typed if item.typed != item.request.prompt else None,
            parts=(*self.parts, *self.pictures_of(item)),
            batch_size=picture.batch_size if is_together else None,
            batch_position=picture.position if is_together else None,
            score=picture.score,
            cache_drift=None if picture.cache_drift is None else round(picture.cache_drift, 4),
        )

    def common(self, loaded: Loaded) -> Recipe:
        """What the pictures of the run share."""
        return Recipe(
            settings={},
            model=self.name or loaded.model,
            revision=loaded.revision,
            fingerprint=self.fingerprint,
            model_sha256=self.model_sha256.result() if self.model_sha256 else None,
            parts=self.parts,
            options={"cache": True} if self.options.cache else {},
            versions={"aigc": __version__, **{name: version(name) for name in PACKAGES}},
            device=loaded.device,
            dtype=loaded.dtype,
        )

    @property
    def name(self) -> str | None:
        """On the Hub, with the file where the model is a single one."""
        repo, path = self.source.repo, self.source.path
        return f"{repo}:{path.name}" if repo and path and self.source.kind in SINGLE_FILES else repo

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint(self.source)

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        options = self.options
        files: list[tuple[str, Path, float | None]] = [(LORA, path, scale) for path, scale in options.adapters]
        files += [("embedding", path, None) for path in options.embeddings]
        files += [(name, path, None) for name, path in (("controlnet", options.controlnet), ("vae", options.vae)) if path]
        return tuple(self._part(kind, path, scale) for kind, path, scale in files)

    def pictures_of(self, item: Item) -> list[Part]:
        """Those that the request begins with."""
        return [self._part(name, value) for name, value in vars(item.request).items() if isinstance(value, Path)]

    def _part(self, kind: str, path: Path, scale: float | None = None) -> Part:
        if path.is_file() and path not in self.hashes:
            self.hashes[path] = sha256_of(path)
        return Part(kind, str(path), scale, self.hashes.get(path))


def hash_into(future: Future[str], path: Path) -> None:
    try:
        future.set_result(sha256_of(path))
    except OSError as error:
        future.set_exception(error)

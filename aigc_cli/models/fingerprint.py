"""Which weights a model or adapter holds, as a short hash that is cheap enough to be made for every run."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from aigc_cli import __version__
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import ModelError
from aigc_cli.models.catalogue import BUILTINS
from aigc_cli.models.check import PIPELINE_INDEX, WEIGHT_SUFFIXES, cannot_read, read_json
from aigc_cli.models.check_image import pairs

GENERATION_CONFIG = "generation_config.json"
SAMPLE = 2**20  # bytes
WHOLE_BELOW = 4 * SAMPLE  # a smaller file is read whole, of a larger one its beginning, middle and end
DECISIVE = (*WEIGHT_SUFFIXES, ".json", ".txt", ".model", ".jinja")  # weights, configs, tokenizers
SNAPSHOT = re.compile(r"models--(?P<repo>[^/]+)/snapshots/(?P<commit>[0-9a-f]{40})(/(?P<file>.+))?$")  # as the Hub's cache lays it out


def fingerprint(source: ModelSource) -> str:
    """sha256, in hex, of what names the weights, wherever they lie. Of a remote model nothing but its name is known.

    Raises: ModelError for a file that may not be read.
    """
    if source.path is None:
        return digest("remote", source.name)
    if builtin := next((builtin for builtin in BUILTINS.values() if builtin.path == source.path), None):
        return digest("built-in", builtin.name, __version__)
    own = fingerprint_path(source.path)
    return digest("with base", own, fingerprint_path(source.base)) if source.base else own


def fingerprint_path(path: Path) -> str:
    """sha256, in hex, of a file or folder: by repository and commit in the Hub's cache, elsewhere by its content.

    A folder counts with the names and contents of its weights, configs and tokenizers, and of those one level below: of a
    pipeline those of its index, of what it is drawn with, and of the parts that the index names. A file counts without its
    name. Large files are sampled: two that differ in size, or nearly everywhere, as trained weights do, are told apart; a few
    bytes changed by hand may go unseen.
    Raises: ModelError for a file that may not be read.
    """
    if match := SNAPSHOT.search(path.absolute().as_posix()):
        return digest("hub", match["repo"].casefold(), match["commit"], match["file"] or "")
    try:
        if not path.is_dir():
            return digest("file", content(path))
        return digest("folder", *(word for file in decisive_files(path) for word in (file.relative_to(path).as_posix(), content(file))))
    except OSError as error:
        raise unreadable(path, error) from error


def decisive_files(folder: Path) -> list[Path]:
    index = folder / PIPELINE_INDEX
    if index.is_file():
        found = [index, folder / GENERATION_CONFIG, *(file for part, _ in pairs(read_json(index)) for file in (folder / part).glob("*"))]
    else:
        found = [file for pattern in ("*", "*/*") for file in folder.glob(pattern)]
    return sorted(file for file in found if file.suffix.lower() in DECISIVE and file.is_file())


def content(path: Path) -> str:
    """A hash of the size and the bytes, or of samples of them."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        places = [0] if size < WHOLE_BELOW else [0, (size - SAMPLE) // 2, size - SAMPLE]
        found = hashlib.sha256(str(size).encode())
        for place in places:
            file.seek(place)
            found.update(file.read(WHOLE_BELOW if len(places) == 1 else SAMPLE))
    return found.hexdigest()


def digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()


def unreadable(path: Path, error: OSError) -> ModelError:
    return cannot_read(Path(error.filename) if error.filename else path, error)

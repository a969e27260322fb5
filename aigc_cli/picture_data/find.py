"""Finds the pictures, the captions beside them and the indexes that name pictures, and says what it left alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Caution
from aigc_cli.core.sample import Split
from aigc_cli.data.find import ABOUT_A_FOLDER, HELD_OUT, SourceFile, refuse_no_file, shortened, source_file, walk

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".jp2", ".ppm", ".pgm")
CAPTION_SUFFIX = ".txt"
INDEX_KINDS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv")
INDEX_NAME = "metadata"  # what Hugging Face's imagefolder calls it
HINT = f"there is: {' '.join(PICTURE_SUFFIXES)}, captions in {CAPTION_SUFFIX}, {INDEX_NAME}.jsonl or .csv; name other indexes themselves"


@dataclass(frozen=True)
class Named:
    """What lies below a path that the user named, in the order of the names.

    captions: the file beside a picture.  orphans: such files without a picture.  others: what was not read.
    """

    path: str
    split: Split
    indexes: tuple[SourceFile, ...] = ()
    pictures: tuple[Path, ...] = ()
    captions: dict[Path, Path] = field(default_factory=dict)
    orphans: tuple[Path, ...] = ()
    others: tuple[Path, ...] = ()


@dataclass(frozen=True)
class FoundPictures:
    named: tuple[Named, ...]
    cautions: tuple[Caution, ...]


def find_pictures(paths: Sequence[str], validation: Sequence[str] = ()) -> FoundPictures:
    """Every file is read once: one that is named for validation is left out of a training folder it lies in.

    Raises: UsageError for a path that is not there or holds no picture, and a file that is named for both splits.
    """
    taken: dict[str, Split] = {}
    held = [without_taken(below(Path(name), "validation"), taken) for name in validation]
    train = [without_taken(below(Path(name), "train"), taken) for name in paths]
    if not any(named.pictures or named.indexes for named in train):
        raise UsageError("there is no picture left to train on", "all are named for validation")
    others = {path for named in (*train, *held) for path in named.others}
    return FoundPictures((*train, *held), tuple(cautions(train, sorted(others))))


def below(path: Path, split: Split) -> Named:
    """Raises: UsageError for a path that is not there, or neither a folder, a picture nor an index."""
    if path.is_dir():
        return in_folder(path, split)
    refuse_no_file(path, "write it to a file first")
    if is_picture(path):
        caption = path.with_suffix(CAPTION_SUFFIX)
        return Named(str(path), split, pictures=(path,), captions={path: caption} if caption.is_file() else {})
    if index := index_file(path):
        return Named(str(path), split, indexes=(index,))
    raise UsageError(f"{path}: pictures cannot be read from this kind of file", HINT)


def in_folder(folder: Path, split: Split) -> Named:
    """Raises: UsageError for a folder without pictures."""
    indexes: list[SourceFile] = []
    pictures: list[Path] = []
    captions: dict[Path, Path] = {}  # by their path without the suffix
    others: list[Path] = []
    for path in walk(folder):
        if not path.is_file() or path.name.lower().startswith(ABOUT_A_FOLDER):
            others.append(path)
        elif is_picture(path):
            pictures.append(path)
        elif path.suffix.lower() == CAPTION_SUFFIX:
            captions[path.with_suffix("")] = path
        elif path.name.lower().startswith(f"{INDEX_NAME}.") and (index := index_file(path)):
            indexes.append(index)
        else:
            others.append(path)
    if not pictures and not indexes:
        raise UsageError(f"{folder}: there is no picture in this folder", HINT)
    beside = {picture: captions[stem] for picture in pictures if (stem := picture.with_suffix("")) in captions}
    used = set(beside.values())
    orphans = tuple(caption for caption in captions.values() if caption not in used)
    return Named(str(folder), split, tuple(indexes), tuple(pictures), beside, orphans, tuple(others))


def only_pictures(paths: Sequence[str]) -> Path | None:
    """The first of these folders that holds pictures, if no path holds any text but what goes with pictures: captions and indexes."""
    folders = [in_folder(folder, "train") for path in paths if (folder := Path(path)).is_dir() and any(map(is_picture, walk(folder)))]
    if len(folders) < len(paths) or not folders:
        return None
    texts = (path for named in folders for path in (*named.orphans, *filter(source_file, named.others)))
    return None if any(not path.name.lower().startswith(ABOUT_A_FOLDER) for path in texts) else Path(folders[0].path)


def is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES


def index_file(path: Path) -> SourceFile | None:
    """None for a file that is no index."""
    file = source_file(path)
    return file if file and file.kind in INDEX_KINDS else None


def without_taken(named: Named, taken: dict[str, Split]) -> Named:
    """Without the files that were taken before, whatever path led to them; the others are taken by this.

    Raises: UsageError for a file that was named itself, and is taken for the other split.
    """

    def is_new(path: Path) -> bool:
        key = identity(path)
        before = taken.setdefault(key, named.split)
        if before != named.split and str(path) == named.path:
            raise UsageError(f"{path} is named for {named.split} and for {before}", "what is measured on must not be seen before")
        return key not in old

    old = set(taken)
    indexes = tuple(index for index in named.indexes if is_new(index.path))
    return replace(named, indexes=indexes, pictures=tuple(filter(is_new, named.pictures)), orphans=tuple(filter(is_new, named.orphans)))


def identity(path: Path) -> str:
    """The same for all paths that lead to the file through folders; a link to a picture is one of its own."""
    return os.path.join(real_folder(os.path.abspath(path.parent)), path.name)


@lru_cache(1024)
def real_folder(path: str) -> str:
    return os.path.realpath(path)


def cautions(train: Sequence[Named], others: Sequence[Path]) -> Iterator[Caution]:
    if others:
        yield Caution(message=f"not read as data: {shortened(others)}", hint=HINT)
    for folder in sorted({folder for named in train for folder in held_out_folders(named)}):
        yield Caution(message=f"{folder} is trained on too", hint="name it with --validation to keep it back")


def held_out_folders(named: Named) -> Iterator[Path]:
    """Folders of a training folder whose names say that they are not to be trained on."""
    for path in (*named.pictures, *(index.path for index in named.indexes)):
        inner = path.relative_to(named.path).parts
        if len(inner) > 1 and inner[0].lower() in HELD_OUT:
            yield Path(named.path, inner[0])

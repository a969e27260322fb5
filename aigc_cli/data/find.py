"""Finds the files that hold data, and says which it left alone."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import Caution
from aigc_cli.core.sample import Split

KINDS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".md", ".parquet")
COMPRESSIONS = (".gz", ".xz")
HINT = f"there is: {' '.join(KINDS)}, and {' and '.join(COMPRESSIONS)} of these"
ABOUT_A_FOLDER = ("readme", "license", "licence", "notice", "changelog", "contributing")  # said of data, not data
HELD_OUT = {"validation": "validation", "valid": "validation", "val": "validation", "dev": "validation", "test": "test"}
RUN_MARKS = ("run.json", ".lock")  # in the folder of a training run
NAMES_SHOWN = 5


@dataclass(frozen=True)
class SourceFile:
    """A file with rows. kind: the suffix that says how it is read.  compression: ".gz", ".xz" or ""."""

    path: Path
    kind: str
    compression: str = ""

    @property
    def identity(self) -> Path:
        """The same for all paths that lead to the file."""
        return self.path.resolve()


@dataclass(frozen=True)
class FoundFiles:
    """files: those named for each split; rows of "train" may still be kept back by their hash."""

    files: dict[Split, tuple[SourceFile, ...]]
    cautions: tuple[Caution, ...]


def find_files(paths: Sequence[str], validation: Sequence[str] = (), test: Sequence[str] = ()) -> FoundFiles:
    """Every file is read once: one that is named for validation or test is left out of a training folder it lies in.

    Raises: UsageError for a path that is not there or holds no data, and a file that is named for two splits.
    """
    named: dict[Split, Sequence[str]] = {"train": paths, "validation": validation, "test": test}
    found = {split: expand(names) for split, names in named.items()}
    left_out = sorted({path for _, others in found.values() for path in others})
    files = {split: unique(of_split) for split, (of_split, _) in found.items()}
    itself = {Path(name).resolve() for name in paths}
    taken: dict[Path, Split] = {}
    for split in ("test", "validation", "train"):
        for file in files[split]:
            other = taken.setdefault(file.identity, split)
            if other != split and (split != "train" or file.identity in itself):
                raise UsageError(f"{file.path} is named for {split} and for {other}", "what is measured on must not be seen before")
    files["train"] = tuple(file for file in files["train"] if taken[file.identity] == "train")
    if not files["train"]:
        raise UsageError("there is no file left to train on", "all are named for validation or test")
    return FoundFiles(files, tuple(cautions(files["train"], left_out, itself)))


def source_file(path: Path) -> SourceFile | None:
    """None when the suffix is not known."""
    name, compression = path.name.lower(), ""
    for suffix in COMPRESSIONS:
        if name.endswith(suffix):
            name, compression = name.removesuffix(suffix), suffix
    kind = next((kind for kind in KINDS if name.endswith(kind)), None)
    if kind is None or (kind == ".parquet" and compression):
        return None
    return SourceFile(path, kind, compression)


def expand(names: Iterable[str]) -> tuple[list[SourceFile], list[Path]]:
    """The files that are named and those in the folders that are; and what the folders hold besides."""
    files: list[SourceFile] = []
    left_out: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            of_folder, others = folder_files(path)
            files += of_folder
            left_out += others
        else:
            files.append(named_file(path))
    return files, left_out


def named_file(path: Path) -> SourceFile:
    refuse_no_file(path, "write it to a file first, or pipe it in and name it -")
    file = source_file(path)
    if file is None:
        raise UsageError(f"{path}: data cannot be read from this kind of file", HINT)
    return file


def refuse_no_file(path: Path, hint: str) -> None:
    """Raises: UsageError for what is not there, and with the hint for pipes and the like."""
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder", "check its name")
    if not path.is_file():
        raise UsageError(f"{path} is no ordinary file, and data is read twice", hint)


def folder_files(folder: Path) -> tuple[list[SourceFile], list[Path]]:
    files: list[SourceFile] = []
    others: list[Path] = []
    for path in walk(folder):
        file = source_file(path) if path.is_file() and not path.name.lower().startswith(ABOUT_A_FOLDER) else None
        if file:
            files.append(file)
        else:
            others.append(path)
    if not files:
        raise UsageError(f"{folder}: there is no data in this folder", HINT)
    return files, others


def walk(folder: Path) -> Iterator[Path]:
    """All files below the folder in the order of their names, hidden ones left out.

    Links to folders and the folders of training runs are given, but not entered.
    """
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False) and not any((path / mark).exists() for mark in RUN_MARKS):
            yield from walk(path)
        else:
            yield path


def unique(files: Sequence[SourceFile]) -> tuple[SourceFile, ...]:
    """Without the files that were named before, whatever path led to them."""
    return tuple({file.identity: file for file in reversed(files)}.values())[::-1]


def cautions(train: Sequence[SourceFile], left_out: Sequence[Path], itself: set[Path]) -> Iterator[Caution]:
    if left_out:
        yield Caution(message=f"not read as data: {shortened(left_out)}", hint=f"{HINT}; a README is read when it is named")
    for file in train:
        split = HELD_OUT.get(file.path.name.lower().partition(".")[0])
        if split and file.identity not in itself:
            yield Caution(message=f"{file.path} is trained on too", hint=f"name it with --{split} to keep it back")


def shortened(paths: Sequence[object]) -> str:
    more = f" and {len(paths) - NAMES_SHOWN} more" if len(paths) > NAMES_SHOWN else ""
    return ", ".join(map(str, paths[:NAMES_SHOWN])) + more

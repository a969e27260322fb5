"""Names for picture files: from a template or a row, safe on every file system, in the folder and nowhere else."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Formatter
from typing import Any

import regex

from aigc_cli.core.elision import elided
from aigc_cli.core.errors import UsageError

TEMPLATE = "{index:04d}-{slug}-{seed}"
SAMPLES: dict[str, Any] = {  # the fields of a template, each with a value of its kind
    "index": 1,
    "slug": "fox",
    "seed": 7,
    "width": 512,
    "height": 512,
    "steps": 20,
    "guidance_scale": 7.0,
    "scheduler": "euler",
    "model": "model",
}
SLUG_LIMIT = 80  # bytes of UTF-8
NAME_LIMIT = 240  # bytes; 255 is what file systems take, and a temporary name is longer than the final one
EMPTY_SLUG = "picture"  # of a prompt without letters or digits

FORBIDDEN = frozenset('/\\:*?"<>|')
RESERVED = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$", *(f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³")]
)
SUFFIXES_OF = {".png": (".png",), ".jpg": (".jpg", ".jpeg"), ".webp": (".webp",)}  # what a format's files may end in
CLUSTER = regex.compile(r"\X")
WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+")


def slug(prompt: str, limit: int = SLUG_LIMIT) -> str:
    """The words of a prompt, joined by hyphens; Chinese and other scripts stay. limit: bytes; a character is never cut."""
    words = WORD.findall(unicodedata.normalize("NFC", prompt).lower())
    return shortened("-".join(words), limit).rstrip("-") or EMPTY_SLUG


def shortened(text: str, limit: int) -> str:
    """The beginning of the text that takes at most so many bytes."""
    used = 0
    for cluster in CLUSTER.finditer(text):
        used += len(cluster[0].encode("utf-8", "surrogatepass"))
        if used > limit:
            return text[: cluster.start()]
    return text


def check_template(template: str) -> None:
    """Raises: UsageError for a field that there is not, a format that does not fit it, or a name that is none."""
    known = f"there is: {', '.join(f'{{{name}}}' for name in SAMPLES)}"
    try:
        for _, field, _, conversion in Formatter().parse(template):
            if field is not None and (field not in SAMPLES or conversion):
                raise UsageError(f"the file name template has no field {{{field}}}", known)
        name = template.format_map(SAMPLES)
    except (ValueError, KeyError, IndexError) as error:
        raise UsageError(f"the file name template {elided(template)!r} cannot be filled in: {error}", known) from None
    if fault := fault_of(name):
        raise UsageError(f"the file name template {elided(template)!r} {fault}", f"for example {TEMPLATE}")


def fill_in(template: str, values: Mapping[str, Any], suffix: str) -> str:
    """A file's name, from a template that check_template took.

    values: by SAMPLES' names, as far as the template has them, and `prompt` for the slug.  suffix: with its dot.
    """
    fields = {name: safe(value) if isinstance(value, str) else value for name, value in values.items()}
    fields["slug"] = slug(str(values["prompt"]))
    stem = shortened(unicodedata.normalize("NFC", template.format_map(fields)), NAME_LIMIT - len(suffix.encode()))
    stem = stem.strip(" ").rstrip(". ")
    return (f"_{stem}" if is_reserved(stem) else stem) + suffix


def safe(text: str) -> str:
    """A text with everything replaced that a file's name must not hold."""
    return "".join("_" if is_forbidden(char) else char for char in shortened(text, SLUG_LIMIT))


def check_name(name: str, suffix: str, origin: str) -> str:
    """The file's name that a row asks for, with its suffix. origin: `file:line`, for the error; empty where that is said otherwise.

    Raises: UsageError for a name that leaves the folder, does not work on every file system, or ends in another format's suffix.
    """
    where = f"{origin}: filename" if origin else "filename"
    stem = without_ending(unicodedata.normalize("NFC", name), suffix, where)
    if fault := fault_of(stem):
        raise UsageError(f"{where}: {elided(name)!r} {fault}", f"for example {fill_in('{slug}', {'prompt': Path(stem).name}, suffix)}")
    return stem + suffix


def without_ending(name: str, suffix: str, where: str) -> str:
    """A name, or a template of names, without the ending that the files get anyway. Raises: UsageError for another format's."""
    ending = Path(name).suffix.lower()
    if ending in SUFFIXES_OF[suffix]:
        return name[: -len(ending)]
    if any(ending in endings for endings in SUFFIXES_OF.values()):
        raise UsageError(
            f"{where}: {elided(name)!r} ends in {ending}, but {suffix} files are written", "leave out the ending, or see --format"
        )
    return name


def fault_of(stem: str) -> str:
    """What is wrong with a name without its suffix; empty when nothing is."""
    if not stem:
        return "is empty"
    if "/" in stem or "\\" in stem or stem in (".", ".."):
        return "is a path: pictures stay in the output folder"
    if bad := next(filter(is_forbidden, stem), ""):
        return f"holds {bad!r}, which not every file system takes"
    if is_reserved(stem):
        return "is the name of a device on Windows"
    if stem != stem.strip(" ").rstrip(". "):
        return "begins with a space, or ends in one or in a dot"
    if stem.startswith("."):
        return "begins with a dot, so it would be hidden"
    if (size := len(stem.encode("utf-8", "surrogatepass"))) > NAME_LIMIT:
        return f"takes {size} bytes, {NAME_LIMIT} are the limit"
    return ""


def is_forbidden(char: str) -> bool:
    """Also for what cannot be seen: control and format characters, line separators, surrogates."""
    return char in FORBIDDEN or unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def is_reserved(stem: str) -> bool:
    """Windows takes these for devices, whatever stands behind a dot."""
    return stem.partition(".")[0].rstrip(" ").lower() in RESERVED


def told_apart(names: Iterable[str]) -> list[str]:
    """The names in their order; one that was there before gets -2, -3 and so on. Fox.png and fox.png are the same name."""
    taken: set[str] = set()
    numbers: dict[str, int] = {}  # the last that was given, by the name without it
    found = []
    for name in names:
        stem, suffix, first = Path(name).stem, Path(name).suffix, folded(name)
        while (key := folded(name)) in taken:
            numbers[first] = numbers.get(first, 1) + 1
            name = f"{stem}-{numbers[first]}{suffix}"
        taken.add(key)
        found.append(name)
    return found


def folded(name: str) -> str:
    """As a file system compares that knows no case."""
    return unicodedata.normalize("NFC", name).casefold()


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raises: UsageError for a file that is there, unless it may be replaced, and for a folder."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder, not a file", f"name a file: {path / 'sheet.png'}")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} is there already", "name another file, or use --overwrite")

"""Draws the words that a prompt leaves open: those of wildcard files and of weighted alternatives."""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from aigc_cli.batch.prompt_template import WEIGHT, Choice, Template, Wildcard, checked_weights, parse
from aigc_cli.core.errors import UsageError
from aigc_cli.core.nearest import nearest
from aigc_cli.text_input import read_text

SUFFIX = ".txt"
MOST_PARTS = 10_000  # of one prompt: files that name each other can make it grow without end


class Wildcards:
    """Folders with a file for each wildcard, of equal names that of the first folder.

    animal.txt holds a line for each thing that __animal__ may stand for, with wildcards and alternatives in its turn, and a
    weight before it if it has one (`3::a fox`); blank lines and those that begin with # are none.
    """

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        self.folders = folders
        self.read: dict[str, Choice] = {}
        self.sound: set[str] = set()

    def choice(self, name: str) -> Choice:
        """Raises: UsageError for a file that is not there, empty or no text, and for a line that is malformed."""
        if name not in self.read:
            self.read[name] = read_choice(self._find(name))
        return self.read[name]

    def check(self, template: Template, within: tuple[str, ...] = ()) -> None:
        """Reads all that may be drawn. Raises: UsageError, also for wildcards that lead back to themselves."""
        for part in template.parts:
            if isinstance(part, Choice):
                for option in part.options:
                    self.check(option, within)
            elif isinstance(part, Wildcard) and part.name not in self.sound:
                if part.name in within:
                    circle = " -> ".join((*within[within.index(part.name) :], part.name))
                    raise UsageError(f"wildcards lead back to themselves: {circle}", f"take __{part.name}__ out of one of these files")
                self.check(Template((self.choice(part.name),)), (*within, part.name))
                self.sound.add(part.name)

    def _find(self, name: str) -> Path:
        is_inside = not {"..", "/"} & set(PurePosixPath(name).parts)
        for folder in self.folders:
            if is_inside and (path := folder / f"{name}{SUFFIX}").is_file():
                return path
        if not self.folders:
            hint = f"name the folder that {name}{SUFFIX} lies in, or write \\_ for an underscore that is one"
            raise UsageError(f"there is no folder to look for the wildcard __{name}__ in", hint)
        known = [
            path.relative_to(folder).with_suffix("").as_posix() for folder in self.folders for path in sorted(folder.rglob(f"*{SUFFIX}"))
        ]
        hint = nearest(name, known) or f"there is: {', '.join(known[:12])}" if known else "there is no .txt file at all"
        raise UsageError(f"there is no wildcard {name!r} in {', '.join(map(str, self.folders))}", hint)


def read_choice(path: Path) -> Choice:
    options, weights = [], []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        weight = WEIGHT.match(line)
        try:
            options.append(parse(line[weight.end() if weight else 0 :].strip()))
        except UsageError as error:
            raise UsageError(f"{path}:{number}: {error.message}", error.hint) from None
        weights.append(float(weight[1]) if weight else None)
    if not options:
        raise UsageError(f"{path} holds nothing to draw", "write an alternative a line")
    return Choice(tuple(options), checked_weights(weights))


def draw(template: Template, seed: int, wildcards: Wildcards) -> str:
    """The prompt, with everything drawn that is open in it; the same for the same seed and files.

    Prompts that differ elsewhere draw alike with one seed. Raises: UsageError for a prompt that grows without end.
    """
    chance = random.Random(seed)
    parts: list[str] = []
    waiting: list[str | Choice | Wildcard] = [*reversed(template.parts)]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            parts.append(part)
        else:
            choice = wildcards.choice(part.name) if isinstance(part, Wildcard) else part
            parts.append("")
            waiting += reversed(pick(choice, chance).parts)
        if len(parts) > MOST_PARTS:
            raise UsageError(f"wildcards make one prompt of more than {MOST_PARTS} parts", "let fewer of them name others")
    return "".join(parts)


def pick(choice: Choice, chance: random.Random) -> Template:
    """By `random()` alone, whose numbers Python promises not to change."""
    bounds = list(itertools.accumulate(choice.weights or [1.0] * len(choice.options)))
    return choice.options[bisect.bisect(bounds, chance.random() * bounds[-1], 0, len(bounds) - 1)]

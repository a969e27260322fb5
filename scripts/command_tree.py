"""The command tree of aigc as plain values: what the completions and the command reference are generated from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args

import typer

from aigc_cli.app import app
from aigc_cli.models.catalogue import BUILTINS, catalogue
from aigc_cli.settings import KEYS

DEVICES = ("auto", "cpu", "cuda", "mps")
MODELS = (*BUILTINS, *catalogue())


@dataclass(frozen=True)
class Value:
    """What may follow: one of `words`, a file, a folder, a model's name, the value of a setting, or any text."""

    kind: Literal["words", "file", "folder", "model", "setting", "text"]
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Option:
    """names: as typed, the short one first.  value: None for a flag."""

    names: tuple[str, ...]
    help: str
    panel: str
    value: Value | None
    is_repeatable: bool
    metavar: str
    default: str


@dataclass(frozen=True)
class Argument:
    name: str
    help: str
    value: Value
    is_required: bool
    is_repeatable: bool


@dataclass(frozen=True)
class Command:
    """path: the words that name it, without aigc.  help: the whole text; its first line is the summary."""

    path: tuple[str, ...]
    help: str
    panel: str
    options: tuple[Option, ...]
    arguments: tuple[Argument, ...]
    subcommands: tuple[Command, ...]

    @property
    def summary(self) -> str:
        return self.help.partition("\n")[0]

    def walk(self) -> Iterator[Command]:
        """This command and all below it."""
        yield self
        for command in self.subcommands:
            yield from command.walk()


def read_tree() -> Command:
    return read_command(typer.main.get_command(app), ())


def read_command(command: Any, path: tuple[str, ...]) -> Command:
    shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    options = [read_option(parameter, path) for parameter in shown if parameter.param_type_name == "option"]
    subcommands = getattr(command, "commands", {}).items()
    return Command(
        path=path,
        help=(command.help or "").strip(),
        panel=panel_of(command, "Commands"),
        options=(*options, HELP),
        arguments=tuple(read_argument(parameter, path) for parameter in shown if parameter.param_type_name == "argument"),
        subcommands=tuple(read_command(sub, (*path, name)) for name, sub in subcommands if not sub.hidden),
    )


HELP = Option(("-h", "--help"), "Show this message and exit.", "Options", None, False, "", "")


def panel_of(thing: Any, default: str) -> str:
    panel = getattr(thing, "rich_help_panel", None)
    return panel if isinstance(panel, str) else default


def read_option(option: Any, path: tuple[str, ...]) -> Option:
    value = None if option.is_flag else value_of(option, path)
    has_default = value is not None and option.default not in (None, "") and not callable(option.default)
    return Option(
        names=(*option.opts, *option.secondary_opts),
        help=(option.help or "").strip(),
        panel=panel_of(option, "Options"),
        value=value,
        is_repeatable=bool(option.multiple),
        metavar=option.metavar or metavar_of(option, value),
        default=str(getattr(option.default, "value", option.default)) if has_default else "",
    )


def metavar_of(option: Any, value: Value | None) -> str:
    if value and value.words:
        return "|".join(value.words)
    number = {int: "N", float: "X"}.get(option.type_descriptor.annotation)
    return number or (value.kind.upper() if value else "")


def read_argument(argument: Any, path: tuple[str, ...]) -> Argument:
    return Argument(
        name=argument.metavar or argument.name.upper(),
        help=(getattr(argument, "help", "") or "").strip(),
        value=value_of(argument, path),
        is_required=bool(argument.required),
        is_repeatable=argument.nargs == -1,
    )


def value_of(parameter: Any, path: tuple[str, ...]) -> Value:
    """Told from the type where that says it, else from the name."""
    annotation = parameter.type_descriptor.annotation
    annotation = next(iter(get_args(annotation)), annotation)  # of a list what it holds
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return Value("words", tuple(str(member.value) for member in annotation))
    if isinstance(annotation, type) and issubclass(annotation, Path):
        info = parameter.type_descriptor.parameter_info
        return Value("file" if info.file_okay else "folder")
    match path, parameter.name:
        case _, "device":
            return Value("words", DEVICES)
        case ("config", _), "key":
            return Value("words", tuple(KEYS))
        case ("config", "set"), "value":
            return Value("setting")
        case (_, "model") | (("models", _), "name" | "names" | "target"):
            return Value("model")
    return Value("text")


def setting_values() -> dict[str, Value]:
    """What each setting may be, where it is not any text."""
    values = {key: Value("words", spec.choices) for key, spec in KEYS.items() if spec.choices}
    return {**values, "device": Value("words", DEVICES), "model": Value("model")}

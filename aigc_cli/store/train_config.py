"""`--config run.toml`: the options of `aigc finetune` from a file, by their flags' names, with - or _ between the words.

    data = "data.jsonl"          # or a list
    model = "builtin:text"
    learning-rate = 1e-4

A value means what it means on the command line: a relative path is relative to the working folder, not to the file,
and ~ is the home folder.

The file may also hold the tables that describe a new model, or of pictures (`image = true`) a new pipeline, below its options. Then
`from-scratch` names the file itself, by its name or with any path to it.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os.path
import tomllib
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aigc_cli.core.engine import Dtype
from aigc_cli.core.errors import UsageError
from aigc_cli.core.finetune import DataChoice, FinetuneRequest, Optimization, Pace, Proof, Tuning
from aigc_cli.core.finetune_image import Diffusion, ImageFinetuneRequest, ImageProof, ImageTuning, PictureChoice

OF_PICTURES = (PictureChoice, ImageTuning, Diffusion, ImageProof, ImageFinetuneRequest)
OF_TEXTS = (DataChoice, Tuning, Optimization, Pace, Proof, FinetuneRequest)
FLAGS = {"paths": "data", "continue_from": "continue"}  # where it is not the field's name
SPELLINGS = {"metric": "metrics", "sample_prompt": "sample_prompts"}
MODES = {"raw": "raw", "instruct": "chat"}
PATHS = {"data", "validation", "test", "output", "from_scratch", "continue"}
TYPE_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


@dataclass(frozen=True)
class Option:
    """What may stand in the file. type: str, int, float or bool.  is_list: several are allowed.  choices: none for any."""

    type: type
    is_list: bool = False
    choices: tuple[str, ...] = ()

    @property
    def description(self) -> str:
        one = f"one of {', '.join(self.choices)}" if self.choices else TYPE_NAMES[self.type]
        return f"{one}, or a list of such" if self.is_list else one


def known_options() -> dict[str, Option]:
    """By the names of their flags, with underscores. Which of them are for texts or for pictures alone is told later."""
    options = {"output": Option(str), "device": Option(str), "dtype": Option(str, choices=tuple(Dtype)), "image": Option(bool)}
    options |= {name: Option(bool) for name in MODES}
    for group in (*OF_PICTURES, *OF_TEXTS):  # texts have the more methods to choose from
        for name, hint in typing.get_type_hints(group).items():
            if not dataclasses.is_dataclass(hint) and name != "mode":
                options[FLAGS.get(name, name)] = option_of(hint)
    return options


def option_of(hint: Any) -> Option:
    """The option that a field's type stands for."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return option_of(next(argument for argument in arguments if argument is not types.NoneType))
    if origin is Literal:
        return Option(str, choices=arguments)
    if origin is tuple:
        return dataclasses.replace(option_of(arguments[0]), is_list=True)
    return Option(hint)


def read_config(path: Path) -> dict[str, Any]:
    """What the file sets, by the flags' names with underscores ("data", "learning_rate", "continue"); lists are tuples.

    `metric` comes as "metrics", and `raw` and `instruct` as "mode".

    Raises: UsageError for a file that cannot be read, a name that there is not, or a value of the wrong type. Whether a
    number is in range is for the request to say.
    """
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}", "check the name after --config") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}", "mend the file: it should be TOML, such as learning_rate = 1e-4") from None
    options, found = known_options(), {}
    tables = {key: value for key, value in values.items() if isinstance(value, dict)}
    describes_model = values.get("image") is True or not {"from-scratch", "from_scratch"}.isdisjoint(values)
    for key, value in values.items():
        name = key.replace("-", "_")
        name = SPELLINGS.get(name, name)
        if key in tables and describes_model and name not in options:
            continue
        if name not in options:
            raise unknown_name(path, key, value, options)
        if name in found:
            raise UsageError(f"{path}: {name} is set twice, in two spellings", "leave out one of the two")
        found[name] = checked(path, key, value, options[name])
        if name in PATHS or name == "model":
            found[name] = expanded(found[name])
    if tables:
        found["from_scratch"] = itself(path, found.get("from_scratch"), next(iter(tables)))
    return with_mode(path, found)


def itself(path: Path, from_scratch: str | None, table: str) -> str:
    """The file with the tables of a new model, in whatever folder we are. Raises: UsageError where they would be passed over."""
    if from_scratch is None:
        message = f"{path}: its tables, such as [{table}], describe a new model, and no from-scratch says to begin with one"
        raise UsageError(message, f'write from-scratch = "{path.name}" above them, or leave them out')
    if Path(from_scratch).name != path.name:
        message = f"{path}: from-scratch names {from_scratch}, and this file has tables, such as [{table}], too"
        raise UsageError(message, f'write from-scratch = "{path.name}", or leave them out')
    return str(path)


def with_mode(path: Path, values: dict[str, Any]) -> dict[str, Any]:
    modes = [mode for name, mode in MODES.items() if values.get(name)]
    if len(modes) > 1:
        raise UsageError(f"{path}: raw and instruct contradict each other", "leave out one of the two")
    others = {name: value for name, value in values.items() if name not in MODES}
    return others | ({"mode": modes[0]} if modes else {})


def unknown_name(path: Path, key: str, value: Any, options: dict[str, Option]) -> UsageError:
    if isinstance(value, dict):
        return UsageError(f"{path}: there are no sections such as [{key}] here", "write all options above, each by its flag's name")
    near = difflib.get_close_matches(key.lower().replace("-", "_"), options, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there is: {', '.join(sorted(options))}"
    return UsageError(f"{path}: there is no option {key!r}", hint)


def checked(path: Path, key: str, value: Any, option: Option) -> Any:
    """The value in its option's type. Raises: UsageError."""
    items = value if option.is_list and isinstance(value, list) else [value]
    for item in items:
        if not is_of_type(item, option.type) or (option.choices and item not in option.choices):
            raise UsageError(f"{path}: {key} must be {option.description}, not {item!r}")
    return tuple(items) if option.is_list else option.type(value)


def is_of_type(value: Any, wanted: type) -> bool:
    """A whole number is a number too; true and false are none, and neither are inf and nan."""
    if wanted is float:
        return type(value) in (int, float) and math.isfinite(value)
    return type(value) is wanted


def expanded(value: Any) -> Any:
    return tuple(map(os.path.expanduser, value)) if isinstance(value, tuple) else os.path.expanduser(value)

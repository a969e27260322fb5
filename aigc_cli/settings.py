"""Settings: command line > environment > project file > user file > default, resolved here and nowhere else.

Knows files and the environment; knows nothing of Typer. Reading creates nothing on disk.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aigc_cli.core.engine import OPENAI, Dtype
from aigc_cli.core.errors import UsageError
from aigc_cli.core.request import Sampling, check
from aigc_cli.models.catalogue import builtin_name

PROJECT_FILE = "aigc.toml"
ENVIRONMENT = "environment"
TYPE_NAMES = {str: "text", int: "a whole number", float: "a number"}


@dataclass(frozen=True)
class Key:
    """One setting: its type, its default, what it is for, and who may set it."""

    type: type
    help: str
    default: Any = None
    from_project: bool = True  # a project file comes with somebody else's clone: it may not say where data is sent
    choices: tuple[str, ...] = ()
    pattern: str = ""


KEYS: dict[str, Key] = {
    "model": Key(str, "the model to use when -m is not given", "builtin:text"),
    "image_model": Key(str, "the model that aigc image and aigc finetune --image use when -m is not given"),
    "device": Key(str, "auto, cpu, cuda, cuda:N or mps", "auto", pattern=r"auto|cpu|mps|cuda(:\d+)?"),
    "dtype": Key(str, "number format of the weights", "auto", choices=tuple(Dtype)),
    "system": Key(str, "system prompt of a chat"),
    "temperature": Key(float, "randomness; 0 is greedy"),
    "top_p": Key(float, "keep the likeliest tokens that make up this mass"),
    "top_k": Key(int, "keep the K likeliest tokens"),
    "min_p": Key(float, "drop tokens below this share of the likeliest one's"),
    "repetition_penalty": Key(float, "above 1 makes tokens already seen less likely"),
    "max_new_tokens": Key(int, "stop after N tokens"),
    "truncate": Key(str, "what to drop when the input does not fit", choices=("oldest", "middle")),
    "base_url": Key(str, "endpoint for openai:NAME", from_project=False),
    "api_key_env": Key(str, "name of the environment variable that holds the key", "OPENAI_API_KEY", from_project=False),
    "timeout": Key(float, "seconds to wait for a remote endpoint's next bytes", 120.0, from_project=False),
}


@dataclass(frozen=True)
class Folders:
    """Where aigc keeps things; none of them need exist."""

    config: Path
    data: Path
    cache: Path

    @property
    def config_file(self) -> Path:
        return self.config / "config.toml"


def folders(environ: Mapping[str, str] = os.environ) -> Folders:
    """The platform's folders, or those below AIGC_HOME."""
    if home := environ.get("AIGC_HOME"):
        root = Path(home).expanduser()
        return Folders(root / "config", root / "data", root / "cache")
    from platformdirs import PlatformDirs

    platform = PlatformDirs("aigc", appauthor=False)
    return Folders(platform.user_config_path, platform.user_data_path, platform.user_cache_path)


@dataclass(frozen=True)
class Setting:
    """A value and where it came from: "command line", the variable's name, a file's path, or "default"."""

    value: Any
    origin: str


class Settings:
    """The layers below the command line, read once.

    unreadable: files that may not be read; what they set does not count.
    """

    def __init__(self, layers: list[tuple[str, dict[str, Any]]], unreadable: Sequence[Path] = ()) -> None:
        self.layers, self.unreadable = layers, unreadable

    def get(self, key: str, given: Any = None) -> Any:
        """The value in force; `given` is the command line's, None where it said nothing."""
        return self.lookup(key, given).value

    def lookup(self, key: str, given: Any = None) -> Setting:
        if given is not None:
            return Setting(given, "command line")
        for origin, values in self.layers:
            if key in values:
                return Setting(values[key], variable(key) if origin == ENVIRONMENT else origin)
        return Setting(default_of(key), "default")


def default_of(key: str) -> Any:
    """That of image_model is built in where the package has one."""
    return builtin_name("image") if key == "image_model" else KEYS[key].default


def load_settings(environ: Mapping[str, str] = os.environ, project: Path | None = None) -> Settings:
    """Reads the environment, the project file of the working folder and the user file.

    Raises: UsageError naming file and key for a value of the wrong type or a key that a project file may not set.
    """
    project = Path(PROJECT_FILE) if project is None else project
    user = folders(environ).config_file
    layers = [(ENVIRONMENT, from_environment(environ))]
    for path, is_project in ((project, True), (user, False)):
        if values := read_file(path):
            layers.append((str(path), checked(values, str(path), is_project)))
    return Settings(layers, [path for path in (project, user) if is_locked(path)])


def unknown_key(key: str, origin: str = "") -> UsageError:
    """The error for a key that there is not, with the nearest there are."""
    near = difflib.get_close_matches(key.lower().replace("-", "_"), KEYS, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there is: {', '.join(KEYS)}"
    return UsageError(f"{origin}: there is no setting {key!r}".removeprefix(": "), hint)


def variable(key: str) -> str:
    return f"AIGC_{key.upper()}"


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for key in KEYS:
        name = variable(key)
        if environ.get(name):
            found[key] = parse(key, environ[name], name)
    return found


def read_file(path: Path) -> dict[str, Any]:
    """Raises: UsageError for a file that is no TOML. A file that is not there, or may not be read, is empty."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, IsADirectoryError) as error:
        raise UsageError(f"{path}: {error}", "mend the file, or move it away") from error


def is_locked(path: Path) -> bool:
    """Whether there is, or may be, such a file that may not be read."""
    try:
        path.open("rb").close()
    except PermissionError:
        return True
    except OSError:
        pass
    return False


def checked(values: dict[str, Any], origin: str, is_project: bool) -> dict[str, Any]:
    known = {}
    for key, value in values.items():
        if key == "aliases" and not is_project:
            continue  # read by the model catalogue
        if key not in KEYS:
            raise unknown_key(key, origin)
        if is_project and not KEYS[key].from_project:
            raise UsageError(f"{origin}: a project file may not set {key!r}", "set it in your own file: aigc config set")
        if is_project and key == "model" and str(value).startswith(OPENAI):
            raise remote_model_refused(origin)
        known[key] = parse(key, value, origin)
    return known


def remote_model_refused(origin: str) -> UsageError:
    return UsageError(f"{origin}: a project file may not choose a remote model", "choose it yourself: -m, or aigc config set model")


def parse(key: str, value: Any, origin: str) -> Any:
    """A value of the key's type, within its bounds. Raises: UsageError naming origin and key."""
    spec = KEYS[key]
    try:
        if isinstance(value, bool) or (not isinstance(value, str) and spec.type is str) or (isinstance(value, float) and spec.type is int):
            raise ValueError
        parsed = spec.type(value)
    except (ValueError, TypeError):
        raise UsageError(f"{origin}: {key} must be {TYPE_NAMES[spec.type]}, not {value!r}") from None
    if spec.choices and parsed not in spec.choices:
        raise UsageError(f"{origin}: {key} must be one of {', '.join(spec.choices)}, not {value!r}")
    if spec.pattern and not re.fullmatch(spec.pattern, parsed):
        raise UsageError(f"{origin}: {key} must be {spec.help}, not {value!r}")
    try:
        check_bounds(key, parsed)
    except UsageError as error:
        raise UsageError(f"{origin}: {error.message}", error.hint) from None
    return parsed


def check_bounds(key: str, value: Any) -> None:
    """Raises: UsageError for a number that the option of that name would refuse."""
    if key in {field.name for field in dataclasses.fields(Sampling)}:
        Sampling(**{key: value})
    elif key == "max_new_tokens":
        check(key, value, 1)
    elif key == "timeout":
        check(key, value, 0, low_open=True)

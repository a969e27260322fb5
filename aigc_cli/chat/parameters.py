"""The options of a request by their flags' names: what `/set` changes and `/save` keeps."""

from __future__ import annotations

import difflib
import shlex
import typing
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from aigc_cli.core.errors import UsageError
from aigc_cli.core.request import Message, TextRequest
from aigc_cli.options import LengthOptions, SamplingOptions, text_request

GROUPS = (SamplingOptions, LengthOptions)
TYPES: dict[str, Any] = {name: typing.get_args(hint)[0] for group in GROUPS for name, hint in typing.get_type_hints(group).items()}
"""Name -> float, int, list[str] or an enum."""

Parameters = Mapping[str, Any]
"""Only what was set: all else is the model's own."""


def from_options(*groups: SamplingOptions | LengthOptions) -> dict[str, Any]:
    """What the command line or the settings say."""
    return {field.name: value for group in groups for field in fields(group) if (value := getattr(group, field.name)) is not None}


def build_request(messages: tuple[Message, ...], parameters: Parameters) -> TextRequest:
    """Raises: UsageError naming the option that is out of range."""
    sampling = SamplingOptions(**{field.name: parameters.get(field.name) for field in fields(SamplingOptions)})
    length = LengthOptions(**{field.name: parameters.get(field.name) for field in fields(LengthOptions)})
    return text_request(messages, "chat", sampling, length)


def checked(parameters: Parameters) -> dict[str, Any]:
    """The parameters, if a request may have them. Raises: UsageError."""
    build_request((Message("user", "x"),), parameters)
    return dict(parameters)


def with_parameter(parameters: Parameters, name: str, text: str) -> dict[str, Any]:
    """The parameters with one more, read from text; "default" takes it out. Raises: UsageError."""
    name = full_name(name)
    if text == "default":
        return {key: value for key, value in parameters.items() if key != name}
    return checked({**parameters, name: parse(name, text)})


def full_name(name: str) -> str:
    """`--top-p`, `top-p` or `top_p` -> "top_p". Raises: UsageError with the nearest names."""
    key = name.lstrip("-").replace("-", "_")
    if key not in TYPES:
        near = difflib.get_close_matches(key, TYPES, 3) or TYPES
        raise UsageError(f"there is no option {name!r}", f"there is: {', '.join(near)}")
    return key


def parse(name: str, text: str) -> Any:
    kind = TYPES[name]
    try:
        return shlex.split(text) if typing.get_origin(kind) is list else kind(text)
    except ValueError:
        raise UsageError(f"{name} must be {description(kind)}, not {text!r}") from None


def has_type(name: str, value: Any) -> bool:
    """Whether a value out of a file is what this parameter holds."""
    kind = TYPES[name]
    if typing.get_origin(kind) is list:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return value in list(kind)


def description(kind: Any) -> str:
    if typing.get_origin(kind) is list:
        return "text, in quotes where it holds blanks"
    return {int: "a whole number", float: "a number"}.get(kind) or " or ".join(kind)

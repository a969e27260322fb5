"""Options that several commands share, as dataclasses: a command takes one as a parameter, Typer sees its fields.

Knows Typer and core; knows nothing of settings files or engines. A field's default None means "not given".
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from aigc_cli.core.engine import Dtype
from aigc_cli.core.errors import UsageError
from aigc_cli.core.request import Message, Mode, Sampling, TextRequest


class Truncation(StrEnum):
    OLDEST = "oldest"
    MIDDLE = "middle"


MODEL, SAMPLING, LENGTH, OUTPUT = "Model", "Sampling", "Length and beams", "Output"


@dataclass
class ModelOptions:
    """Which model, and where it runs."""

    model: Annotated[
        str | None,
        typer.Option("-m", "--model", help="Built-in name, alias, folder, GGUF file, Hub id, or openai:NAME.", rich_help_panel=MODEL),
    ] = None
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=MODEL)] = None
    dtype: Annotated[Dtype | None, typer.Option(help="Number format of the weights.", rich_help_panel=MODEL)] = None
    base_url: Annotated[
        str | None,
        typer.Option(help="Endpoint for openai:NAME, such as http://localhost:8080/v1.", rich_help_panel=MODEL),
    ] = None
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before a large download.", rich_help_panel=MODEL)] = False
    adapter: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH[:SCALE]", help="LoRA to merge into the model: its folder; repeatable.", rich_help_panel=MODEL),
    ] = None


@dataclass
class SamplingOptions:
    """How tokens are drawn; what is not given is the model's own."""

    temperature: Annotated[float | None, typer.Option(help="Randomness; 0 is greedy.", rich_help_panel=SAMPLING)] = None
    top_p: Annotated[float | None, typer.Option(help="Keep the likeliest tokens that make up this mass.", rich_help_panel=SAMPLING)] = None
    top_k: Annotated[int | None, typer.Option(help="Keep the K likeliest tokens; 0 is off.", rich_help_panel=SAMPLING)] = None
    min_p: Annotated[float | None, typer.Option(help="Drop tokens below this share of the likeliest one's.", rich_help_panel=SAMPLING)] = (
        None
    )
    typical_p: Annotated[float | None, typer.Option(help="Locally typical sampling, with this mass.", rich_help_panel=SAMPLING)] = None
    repetition_penalty: Annotated[
        float | None, typer.Option(help="Above 1 makes tokens already seen less likely.", rich_help_panel=SAMPLING)
    ] = None
    presence_penalty: Annotated[
        float | None, typer.Option(help="Subtracted once from tokens already generated.", rich_help_panel=SAMPLING)
    ] = None
    frequency_penalty: Annotated[
        float | None, typer.Option(help="Subtracted each time a token was generated.", rich_help_panel=SAMPLING)
    ] = None
    no_repeat_ngram_size: Annotated[int | None, typer.Option(help="Never say the same N tokens twice.", rich_help_panel=SAMPLING)] = None
    logit_bias: Annotated[
        list[str] | None,
        typer.Option(metavar="TOKEN=BIAS", help="Add BIAS to the logit of a token id; repeatable.", rich_help_panel=SAMPLING),
    ] = None
    seed: Annotated[
        int | None, typer.Option(help="Same seed, same text; without one it is drawn and reported.", rich_help_panel=SAMPLING)
    ] = None

    def to_sampling(self) -> Sampling:
        """Raises: UsageError for a value out of range."""
        names = {field.name for field in dataclasses.fields(Sampling)} - {"logit_bias"}
        return Sampling(**{name: getattr(self, name) for name in names}, logit_bias=tuple(map(parse_bias, self.logit_bias or ())))


@dataclass
class LengthOptions:
    """How long, how many, and what to do when it does not fit."""

    max_new_tokens: Annotated[
        int | None, typer.Option(help="Stop after N tokens; without it after 1024, or when the context is full.", rich_help_panel=LENGTH)
    ] = None
    min_new_tokens: Annotated[int | None, typer.Option(help="Do not end before N tokens.", rich_help_panel=LENGTH)] = None
    stop: Annotated[list[str] | None, typer.Option(help="End before this string; repeatable.", rich_help_panel=LENGTH)] = None
    truncate: Annotated[
        Truncation | None,
        typer.Option(help="When the input does not fit: drop the oldest turns, or the middle.", rich_help_panel=LENGTH),
    ] = None


@dataclass
class OutputOptions:
    """Where the result goes and what is said about it."""

    json: Annotated[bool, typer.Option("--json", help="Events as JSON lines on stdout.", rich_help_panel=OUTPUT)] = False
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No notes on stderr.", rich_help_panel=OUTPUT)] = False
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="More notes on stderr.", rich_help_panel=OUTPUT)] = False
    traceback: Annotated[bool, typer.Option("--traceback", help="Show the Python traceback of an error.", rich_help_panel=OUTPUT)] = False

    def __post_init__(self) -> None:
        if self.quiet and self.verbose:
            raise UsageError("--quiet and --verbose contradict each other", "leave out one of the two")


Files = Annotated[
    list[Path] | None,
    typer.Option("-f", "--file", help="Text to put before the prompt; repeatable; - is stdin.", rich_help_panel="Input"),
]
System = Annotated[str | None, typer.Option("-s", "--system", help="System prompt.", rich_help_panel="Input")]


def text_request(
    messages: tuple[Message, ...],
    mode: Mode,
    sampling: SamplingOptions,
    length: LengthOptions,
    *,
    n: int = 1,
    num_beams: int = 1,
    early_stopping: bool = False,
    length_penalty: float | None = None,
) -> TextRequest:
    """Raises: UsageError naming the option that is out of range."""
    return TextRequest(
        messages=messages,
        mode=mode,
        sampling=sampling.to_sampling(),
        max_new_tokens=length.max_new_tokens,
        min_new_tokens=length.min_new_tokens or 0,
        stop=tuple(length.stop or ()),
        truncate=Truncation(length.truncate).value if length.truncate else None,
        seed=sampling.seed,
        n=n,
        num_beams=num_beams,
        early_stopping=early_stopping,
        length_penalty=length_penalty,
    )


def parse_bias(text: str) -> tuple[int, float]:
    token, _, bias = text.partition("=")
    try:
        return int(token), float(bias)
    except ValueError:
        raise UsageError(f"--logit-bias wants TOKEN=BIAS with a token id, not {text!r}", "for example --logit-bias 50256=-100") from None


def expand_dataclasses(command: Callable[..., None]) -> Callable[..., None]:
    """Lets a command take whole dataclasses of options: Typer is shown their fields as its parameters."""
    hints = typing.get_type_hints(command, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if isinstance(hint, type) and dataclasses.is_dataclass(hint)}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name not in groups:
            parameters.append(parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        group_hints = typing.get_type_hints(groups[parameter.name], include_extras=True)
        parameters += [
            inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=group_hints[field.name])
            for field in dataclasses.fields(groups[parameter.name])
        ]

    @functools.wraps(command)
    def expanded(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in dataclasses.fields(group)})
        command(**values)

    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return expanded

"""`aigc export`: a result of training in the form that another program takes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aigc_cli.commands.output import follow, open_output
from aigc_cli.core.engine import Dtype
from aigc_cli.core.errors import ModelError, UsageError
from aigc_cli.core.units import format_size
from aigc_cli.options import MODEL, OUTPUT, OutputOptions
from aigc_cli.signals import leaving_at_once

if TYPE_CHECKING:
    from collections.abc import Generator

    from aigc_cli.core.engine import ModelSource
    from aigc_cli.core.events import Event
    from aigc_cli.models.adapters import Adapter
    from aigc_cli.render.output import Output


class Form(StrEnum):
    MERGED = "merged"
    ADAPTER = "adapter"
    GGUF = "gguf"


class GgufChoice(StrEnum):
    """As backends.train.text.gguf_file.GgufType, which is not imported for a help text."""

    F16 = "f16"
    BF16 = "bf16"
    Q8_0 = "q8_0"


OF_A_TOKENIZER = ("tokenizer*", "*.jinja", "vocab.*", "merges.txt", "*.model", "special_tokens_map.json")
OF_AN_ADAPTER = ("adapter_config.json", "adapter_model.safetensors", *OF_A_TOKENIZER, "aigc.json", "README.md")


@dataclass(frozen=True)
class Result:
    """What lies in a folder. adapter: None for a whole model.  model: the name of what to load, of an adapter its base."""

    folder: Path
    adapter: Adapter | None
    model: str


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A result of finetune, or any PEFT or transformers folder.")],
    to: Annotated[Form, typer.Option("--to", help="A whole model, an adapter, or a GGUF file.", rich_help_panel=OUTPUT)],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="The folder or .gguf file to write; a GGUF may go into a folder.", rich_help_panel=OUTPUT),
    ],
    options: OutputOptions,
    model: Annotated[
        str | None,
        typer.Option("-m", "--model", help="The adapter's base, if it is not where it was in training.", rich_help_panel=MODEL),
    ] = None,
    dtype: Annotated[
        Dtype | None, typer.Option(help="Number format of --to merged; without it, the base's own.", rich_help_panel=OUTPUT)
    ] = None,
    gguf_type: Annotated[
        GgufChoice | None, typer.Option(help="Number format of --to gguf; without it, f16.", rich_help_panel=OUTPUT)
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export.", rich_help_panel=OUTPUT)] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before a large download of the base.", rich_help_panel=MODEL)] = False,
) -> None:
    """Turn a result of finetune into a whole model, a plain adapter, or a GGUF file for llama.cpp."""
    from aigc_cli.store.export_target import appearing, check_target

    if dtype and to is not Form.MERGED:
        raise UsageError(f"--dtype belongs to --to merged, not to --to {to}", "for a GGUF file: --gguf-type")
    if gguf_type and to is not Form.GGUF:
        raise UsageError(f"--gguf-type belongs to --to gguf, not to --to {to}", "leave it out")
    screen = open_output(options)
    result = find_result(run, model, screen)
    if to is Form.ADAPTER and result.adapter is None:
        raise UsageError(f"{run} is a whole model: there is no adapter in it", "use --to merged or --to gguf")
    path = gguf_path(output, run, gguf_type or GgufChoice.F16) if to is Form.GGUF else output
    check_target(path, run, overwrite=overwrite)
    with appearing(path) as temporary:
        if to is Form.ADAPTER:
            copy_adapter(run, temporary)
        else:
            follow(write(result, to, path, temporary, dtype or Dtype.AUTO, gguf_type or GgufChoice.F16, screen, assume_yes=yes), screen)
    show_written(path, to, result, screen)


def find_result(run: Path, model: str | None, screen: Output) -> Result:
    """Raises: ModelError where there is no result, UsageError for a base that has no meaning or is not known."""
    from aigc_cli.models.adapters import IMAGE_ADAPTER_WEIGHTS, RUN_RECORD, check_adapter
    from aigc_cli.models.check import ADAPTER_CONFIG, CONFIG, PIPELINE_INDEX
    from aigc_cli.store.run_record import read_record, recorded_request

    if not run.is_dir():
        raise ModelError(f"there is no folder {run}", "name the folder that aigc finetune wrote to: its -o")
    if (run / IMAGE_ADAPTER_WEIGHTS).exists() or (run / PIPELINE_INDEX).exists():
        what = f"its {IMAGE_ADAPTER_WEIGHTS}" if (run / IMAGE_ADAPTER_WEIGHTS).exists() else "the folder"
        raise UsageError(f"{run} holds an image model's result, which needs no export", f"diffusers loads {what} as it is")
    is_adapter, is_whole, is_run = ((run / name).exists() for name in (ADAPTER_CONFIG, CONFIG, RUN_RECORD))
    if not (is_adapter or is_whole):
        hint = f"finish it first: aigc finetune --resume -o {run}" if is_run else "name the folder that aigc finetune wrote to: its -o"
        raise ModelError(f"{run} holds {'a run that has no result yet' if is_run else 'no result of training'}", hint)
    if is_run and (status := read_record(run).status) != "complete":
        state = "was stopped" if status == "stopped" else "has not ended"
        screen.caution(f"this run {state}: exported is what it had reached when its result was written")
    if not is_adapter:
        if model:
            raise UsageError(f"{run} is a whole model: it needs no -m", "leave out -m")
        return Result(run, None, str(run))
    adapter = check_adapter(run)
    base = model or (recorded_request(run).model if is_run else adapter.base)
    if not base:
        raise UsageError(f"{run} does not say which model it was trained on", "name it: -m MODEL")
    return Result(run, adapter, base)


def gguf_path(output: Path, run: Path, kind: GgufChoice) -> Path:
    """A folder, which is made if need be, gets a file named after the run. Raises: UsageError for another kind of file."""
    if output.suffix.lower() == ".gguf":
        return output
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is neither a .gguf file's name nor a folder", "end the name in .gguf, or name a folder")
    output.mkdir(parents=True, exist_ok=True)
    return output / f"{run.resolve().name}-{kind}.gguf"


def copy_adapter(run: Path, folder: Path) -> None:
    """What PEFT needs, and no files of the run."""
    folder.mkdir()
    for path in sorted({path for pattern in OF_AN_ADAPTER for path in run.glob(pattern) if path.is_file()}):
        shutil.copyfile(path, folder / path.name)


def write(
    result: Result, to: Form, path: Path, temporary: Path, dtype: Dtype, gguf_type: GgufChoice, screen: Output, *, assume_yes: bool
) -> Generator[Event, None, None]:
    """Loads the model, with its adapter merged, and writes it."""
    from aigc_cli.commands.session import with_adapters
    from aigc_cli.models.resolve import resolve
    from aigc_cli.models.usage import write_mode
    from aigc_cli.render.confirm import terminal_confirm

    source: ModelSource = yield from resolve(result.model, assume_yes=assume_yes, confirm=terminal_confirm())
    if source.kind == "openai":
        raise UsageError("a remote model's weights are not here to be exported", "name the base with -m")
    source = yield from with_adapters(source, [result.adapter] if result.adapter else [])
    screen.status(f"loading {source.name} …")
    adapters = [(result.folder, 1.0)] if result.adapter else []
    with leaving_at_once():
        from aigc_cli.backends.train.text.export import MERGED_IN, load_merged, write_gguf_file, write_merged
        from aigc_cli.backends.train.text.gguf_file import GgufType

        kind = GgufType(gguf_type)
        parts = load_merged(source, adapters, dtype if to is Form.MERGED else MERGED_IN[kind])
    screen.status(f"writing {path.name} …")
    if to is Form.GGUF:
        yield from write_gguf_file(parts, temporary, kind, result.folder.resolve().name)
        return
    write_merged(parts, source, temporary, dtype)
    if source.mode:
        write_mode(temporary, source.mode)


def show_written(path: Path, to: Form, result: Result, screen: Output) -> None:
    """The path on stdout, and how to use what is there."""
    from aigc_cli.store.durable import size_below

    size = size_below(path) if path.is_dir() else path.stat().st_size
    if screen.json:
        screen.write_json({"path": str(path), "form": str(to), "size": size})
        return
    screen.write(f"{path}\n")
    usage = f"-m {result.model} --adapter {path}" if to is Form.ADAPTER else f"-m {path}"
    from aigc_cli.models.usage import read_mode

    command = "complete" if read_mode(result.folder) == "raw" else "chat"
    screen.note(f"{format_size(size)} written · try it: aigc {command} {usage}")

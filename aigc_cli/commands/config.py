"""`aigc config`: the settings in force, where they come from, and the user's own file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from aigc_cli.commands.output import open_output, read_settings
from aigc_cli.core.errors import UsageError
from aigc_cli.options import OutputOptions, expand_dataclasses
from aigc_cli.settings import KEYS, PROJECT_FILE, Settings, default_of, folders, parse, read_file, unknown_key, variable

config_app = typer.Typer(help="Show and change settings.", no_args_is_help=True)
KeyName = Annotated[str, typer.Argument(metavar="KEY", help="A setting's name; aigc config list shows them.")]
NewValue = Annotated[str, typer.Argument(metavar="VALUE", help="Its new value.")]


@config_app.command("list")
@expand_dataclasses
def list_settings(options: OutputOptions) -> None:
    """Show every setting: its value, where that comes from, and what it is for."""
    from aigc_cli.render.table import write_fields

    output = open_output(options)
    settings = read_settings(output)
    if options.json:
        for key in KEYS:
            output.write_json(describe(key, settings))
    else:
        write_fields(output, [(key, shown(settings.get(key)), settings.lookup(key).origin, KEYS[key].help) for key in KEYS])


@config_app.command("get")
@expand_dataclasses
def get_setting(key: KeyName, options: OutputOptions) -> None:
    """Print the value in force; an empty line where there is none."""
    output = open_output(options)
    check_key(key)
    settings = read_settings(output)
    if options.json:
        output.write_json(describe(key, settings))
    else:
        value = settings.get(key)
        output.write(f"{'' if value is None else value}\n")
        output.detail(f"from: {settings.lookup(key).origin}")


@config_app.command("set", context_settings={"ignore_unknown_options": True})  # -1 is a value
@expand_dataclasses
def set_setting(key: KeyName, value: NewValue, options: OutputOptions) -> None:
    """Set a value in your own file."""
    from aigc_cli.config_file import set_value

    output = open_output(options)
    check_key(key)
    parsed = parse(key, value, "aigc config set")
    stronger = overruling(key)
    path = folders().config_file
    set_value(path, key, parsed)
    output.note(f"{key} = {shown(parsed)}  in {path}")
    if options.json:
        output.write_json({"key": key, "value": parsed, "origin": str(path)})
    if stronger:
        output.caution(f"{key} is also set by {stronger}, which counts here before your file")


@config_app.command("unset")
@expand_dataclasses
def unset_setting(key: KeyName, options: OutputOptions) -> None:
    """Take a value out of your own file."""
    from aigc_cli.config_file import unset_value

    output = open_output(options)
    path = folders().config_file
    was_set = unset_value(path, key)  # also a key that nobody knows: this is how to mend such a file
    if not was_set:
        check_key(key)
    output.note(f"{key} is gone from {path}" if was_set else f"{key} was not set in {path}")
    if options.json:
        output.write_json({"key": key, "was_set": was_set, "path": str(path)})


@config_app.command("path")
@expand_dataclasses
def show_path(options: OutputOptions) -> None:
    """Print where your own file is, or would be."""
    output = open_output(options)
    path = folders().config_file
    if options.json:
        output.write_json({"path": str(path), "exists": path.is_file()})
    else:
        output.write(f"{path}\n")


def check_key(key: str) -> None:
    if key == "aliases":
        raise UsageError("aliases are not set here", "see: aigc models alias --help")
    if key not in KEYS:
        raise unknown_key(key)


def overruling(key: str) -> str | None:
    """The variable or project file that sets this key too."""
    if os.environ.get(variable(key)):
        return variable(key)
    return PROJECT_FILE if key in read_file(Path(PROJECT_FILE)) else None


def describe(key: str, settings: Settings) -> dict[str, Any]:
    setting = settings.lookup(key)
    return {"key": key, "value": setting.value, "origin": setting.origin, "default": default_of(key), "help": KEYS[key].help}


def shown(value: Any) -> str:
    from aigc_cli.render.width import one_line

    return "-" if value is None else one_line(str(value))

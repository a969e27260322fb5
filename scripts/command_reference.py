"""The command reference in Markdown."""

from __future__ import annotations

from command_tree import Argument, Command, Option

from aigc_cli.settings import KEYS, Key, variable

FEW = 8  # words worth listing

HEAD = """# Commands

Generated from the command tree by `make docs`. `aigc COMMAND --help` shows the same in the terminal.
"""

SETTINGS = """## Settings

The command line comes first, then the environment, then `aigc.toml` in the working folder, then your own file
(`aigc config path`), then the default. `aigc config list` shows what is in force and where it comes from.

| setting | variable | default | |
|---|---|---|---|
"""


def command_reference(root: Command) -> str:
    leaves = [command for command in root.walk() if not command.subcommands]
    listing = "\n".join(f"- [`aigc {' '.join(c.path)}`](#{'-'.join(('aigc', *c.path))}): {c.summary}" for c in leaves)
    return "\n".join([HEAD, listing + "\n- [Settings](#settings)\n", *(section(command) for command in leaves), settings()])


def section(command: Command) -> str:
    parts = [f"## aigc {' '.join(command.path)}", f"    {usage(command)}", command.help]
    if command.arguments:
        parts.append("\n".join(["| argument | |", "|---|---|", *map(argument_row, command.arguments)]))
    for panel in dict.fromkeys(option.panel for option in command.options):
        parts.append(panel_table(panel, [option for option in command.options if option.panel == panel]))
    return "\n\n".join(part for part in parts if part) + "\n"


def usage(command: Command) -> str:
    arguments = [argument.name + ("..." if argument.is_repeatable else "") for argument in command.arguments]
    shown = [name if argument.is_required else f"[{name}]" for name, argument in zip(arguments, command.arguments, strict=True)]
    return " ".join(("aigc", *command.path, "[OPTIONS]", *shown))


def argument_row(argument: Argument) -> str:
    return f"| `{argument.name}` | {cell(argument.help)}{choices(argument)} |"


def choices(argument: Argument) -> str:
    return f" One of: {', '.join(f'`{word}`' for word in argument.value.words)}." if 0 < len(argument.value.words) <= FEW else ""


def panel_table(panel: str, options: list[Option]) -> str:
    return "\n".join([f"| {panel} | |", "|---|---|", *map(option_row, options)])


def option_row(option: Option) -> str:
    names = ", ".join(f"`{name}`" for name in option.names)
    value = f" `{cell(option.metavar)}`" if option.value else ""
    default = f" Default: `{cell(option.default)}`." if option.default else ""
    return f"| {names}{value} | {cell(option.help)}{default} |"


def settings() -> str:
    return SETTINGS + "".join(setting_row(key, spec) for key, spec in KEYS.items())


def setting_row(key: str, spec: Key) -> str:
    default = "" if spec.default is None else f"`{spec.default}`"
    ours_alone = "" if spec.from_project else " (not in `aigc.toml`)"
    return f"| `{key}` | `{variable(key)}` | {default} | {cell(spec.help)}{ours_alone} |\n"


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")

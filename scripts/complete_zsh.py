"""The completion script for zsh, over its own _arguments, so that descriptions and styles work as everywhere."""

from __future__ import annotations

from command_tree import MODELS, Command, Option, Value, setting_values
from complete_bash import ALIASES, quoted

HEAD = """#compdef aigc
# zsh completion for aigc, generated from its commands
"""

MODEL_NAMES = r"""
_aigc_model_names() {
    local expl ret=1
    local -a names=(%s ${(f)"$(_aigc_aliases)"})
    _wanted models expl model compadd -a names && ret=0
    _files && ret=0
    return ret
}
"""

FOOT = """
if [[ ${funcstack[1]} == _aigc ]]; then
    _aigc "$@"
else
    compdef _aigc aigc
fi
"""


def zsh_script(root: Command) -> str:
    functions = "".join(function(command) for command in root.walk())
    return HEAD + ALIASES + MODEL_NAMES % " ".join(map(quoted, MODELS)) + setting_function() + functions + FOOT


def name_of(command: Command) -> str:
    return "_aigc" + ("_command_" + "_".join(command.path) if command.path else "")


def function(command: Command) -> str:
    specs = [spec for option in command.options for spec in option_specs(option)]
    if command.subcommands:
        return group_function(command, specs)
    for position, argument in enumerate(command.arguments, start=1):
        place = "*" if argument.is_repeatable else str(position)
        specs.append(quoted(f"{place}:{escaped(argument.name.lower())}:{action(argument.value)}"))
    return f"\n{name_of(command)}() {{\n    _arguments -s -S \\\n        " + " \\\n        ".join(specs) + "\n}\n"


def group_function(command: Command, specs: list[str]) -> str:
    commands = "".join(f"\n        {quoted(f'{sub.path[-1]}:{sub.summary}')}" for sub in command.subcommands)
    cases = "".join(f"                {sub.path[-1]}) {name_of(sub)} ;;\n" for sub in command.subcommands)
    return f"""
{name_of(command)}() {{
    local curcontext="$curcontext" state line
    typeset -A opt_args
    local -a commands=({commands}
    )
    _arguments -C \\
        {(" " + chr(92) + chr(10) + "        ").join(specs)} \\
        '1: :->command' '*:: :->rest' && return
    case $state in
        command) _describe command commands ;;
        rest)
            case $words[1] in
{cases}            esac
            ;;
    esac
}}
"""


def option_specs(option: Option) -> list[str]:
    """One spec for each name; the names of one option shut each other out unless it is repeatable."""
    before = "*" if option.is_repeatable else f"({' '.join(option.names)})"
    return [quoted(f"{before}{spelled(name, option)}[{escaped(option.help)}]{value_spec(option)}") for name in option.names]


def spelled(name: str, option: Option) -> str:
    """The name; = after it allows --name=value beside --name value."""
    return f"{name}=" if option.value and name.startswith("--") else name


def value_spec(option: Option) -> str:
    return f":{escaped(option.names[-1].lstrip('-'))}:{action(option.value)}" if option.value else ""


def action(value: Value) -> str:
    match value.kind:
        case "words":
            return f"({' '.join(value.words)})"
        case "file":
            return "_files"
        case "folder":
            return "_files -/"
        case "model":
            return "_aigc_model_names"
        case "setting":
            return "_aigc_setting"
    return " "


def escaped(text: str) -> str:
    for char in "\\[]:":
        text = text.replace(char, f"\\{char}")
    return text


def setting_function() -> str:
    """The value of the setting that stands before it."""
    lines = []
    for key, value in setting_values().items():
        what = "_aigc_model_names" if value.kind == "model" else f"compadd -- {' '.join(value.words)}"
        lines.append(f"        {key}) {what} ;;\n")
    return "\n_aigc_setting() {\n    case $line[1] in\n" + "".join(lines) + "        *) _message value ;;\n    esac\n}\n"

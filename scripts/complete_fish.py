"""The completion script for fish."""

from __future__ import annotations

from command_tree import MODELS, Argument, Command, Option, Value, setting_values

HEAD = r"""# fish completion for aigc, generated from its commands

function __aigc_words --description 'the words before the cursor that are no options'
    for word in (commandline -opc)[2..-1]
        string match --quiet -- '-*' $word; or echo $word
    end
end

function __aigc_at --description 'whether the command so far is the one given, word by word'
    set -q argv[1]; or return 0
    set -l words (__aigc_words)
    set -l count (count $argv)
    test (count $words) -ge $count; and test "$words[1..$count]" = "$argv"
end

function __aigc_argument --description 'whether argument N of a command is next: N COMMAND...'
    set -l count (count (__aigc_words))
    __aigc_at $argv[2..-1]; and test $count -eq (math (count $argv) - 2 + $argv[1])
end

function __aigc_aliases --description 'the [aliases] table of the settings'
    set -l folder ~/.config/aigc
    if set -q AIGC_HOME; and test -n "$AIGC_HOME"
        set folder (string replace --regex '^~' $HOME -- $AIGC_HOME)/config
    else if test (uname) = Darwin
        set folder ~/'Library/Application Support/aigc'
    else if set -q XDG_CONFIG_HOME; and test -n "$XDG_CONFIG_HOME"
        set folder $XDG_CONFIG_HOME/aigc
    end
    test -r $folder/config.toml; or return 0
    set -l table
    while read -l line
        set line (string trim -- $line)
        if string match --quiet '[*' -- $line
            set table (string replace --regex '\].*' '' -- $line)
        else if test "$table" = '[aliases'; and string match --quiet --regex '^[^#].*=' -- $line
            string split --max 1 -f 1 = -- $line | string trim | string trim --chars '"\''
        end
    end <$folder/config.toml
end
"""


def fish_script(root: Command) -> str:
    lines = ["\ncomplete -c aigc -f"]
    for command in root.walk():
        where = condition("__aigc_at", command) if command.path else "__aigc_argument 1"
        lines += [option_line(option, where) for option in command.options]
        lines += [subcommand_line(sub, command) for sub in command.subcommands]
        for position, argument in enumerate(command.arguments, start=1):
            lines += argument_lines(argument, position, command)
    return HEAD + models() + "\n".join(lines) + "\n"


def models() -> str:
    names = " ".join(map(quoted, MODELS))
    return f"\nfunction __aigc_models\n    printf '%s\\n' {names}\n    __aigc_aliases\nend\n"


def quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def condition(test: str, command: Command) -> str:
    return " ".join((test, *command.path))


def option_line(option: Option, where: str) -> str:
    names = " ".join(f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in option.names)
    value = f" -r {candidates(option.value)}" if option.value else ""
    return f"complete -c aigc -n {quoted(where)} {names}{value} -d {quoted(option.help)}"


def subcommand_line(sub: Command, parent: Command) -> str:
    where = condition("__aigc_argument 1", parent)
    return f"complete -c aigc -n {quoted(where)} -a {sub.path[-1]} -d {quoted(sub.summary)}"


def argument_lines(argument: Argument, position: int, command: Command) -> list[str]:
    where = condition("__aigc_at" if argument.is_repeatable else f"__aigc_argument {position}", command)
    if argument.value.kind == "text":
        return []
    if argument.value.kind != "setting":
        return [f"complete -c aigc -n {quoted(where)} {candidates(argument.value)}"]
    return [setting_line(where, key, value) for key, value in setting_values().items()]


def setting_line(where: str, key: str, value: Value) -> str:
    return f"complete -c aigc -n {quoted(f'{where}; and contains -- {key} (__aigc_words)')} {candidates(value)}"


def candidates(value: Value) -> str:
    match value.kind:
        case "words":
            return f"-x -a {quoted(' '.join(value.words))}"
        case "file":
            return "-F"
        case "folder":
            return "-x -a '(__fish_complete_directories (commandline -ct))'"
        case "model":
            return "-F -a '(__aigc_models)'"
    return "-x"

"""The completion script for bash 3.2 and up, without the bash-completion package."""

from __future__ import annotations

from command_tree import MODELS, Command, Value, setting_values

# Also valid zsh: the [aliases] table of the settings, one name a line
ALIASES = r"""
_aigc_aliases() {
    local file line table= name
    if [[ -n ${AIGC_HOME-} ]]; then
        file=${AIGC_HOME/#\~/$HOME}/config/config.toml
    elif [[ $OSTYPE == darwin* ]]; then
        file="$HOME/Library/Application Support/aigc/config.toml"
    else
        file=${XDG_CONFIG_HOME:-$HOME/.config}/aigc/config.toml
    fi
    [[ -f $file && -r $file ]] || return 0
    while IFS= read -r line || [[ -n $line ]]; do
        line=${line#"${line%%[![:space:]]*}"}
        if [[ $line == '['* ]]; then
            table=${line%%]*}
        elif [[ $table == '[aliases' && $line == [!#]*=* ]]; then
            name=${line%%=*}
            name=${name%"${name##*[![:space:]]}"}
            name=${name#[\"\']}
            printf '%s\n' "${name%[\"\']}"
        fi
    done <"$file"
}
"""

ENGINE = r"""
_aigc_offer() {
    local name
    for name in "$@"; do
        [[ $name == "$cur"* ]] && COMPREPLY+=("$name")
    done
}

_aigc_offer_models() {
    local name file
    _aigc_offer "${_aigc_models[@]}"
    while IFS= read -r name; do
        _aigc_offer "$name"
    done < <(_aigc_aliases)
    # with a name in reach files are added to the names; with none, readline completes files by itself
    if [[ -n $cur ]] && ((${#COMPREPLY[@]})); then
        while IFS= read -r file; do
            COMPREPLY+=("$file")
            compopt -o filenames 2>/dev/null
        done < <(compgen -f -- "$cur")
    fi
}

_aigc() {
    local words=() word rest=${COMP_LINE:0:COMP_POINT} i n=-1
    # bash has cut the words at : and = too: put them together again
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if ((n < 0)) || [[ $rest == [[:space:]]* ]]; then
            rest=${rest#"${rest%%[![:space:]]*}"}
            words[++n]=
        fi
        ((i == COMP_CWORD)) && word=$rest
        words[n]+=$word
        rest=${rest#"$word"}
    done

    local cur=${words[n]} path= kind= last= count=0 only_arguments=
    for ((i = 1; i < n; i++)); do
        word=${words[i]}
        if [[ -n $kind ]]; then
            kind= # the word was this option's value
        elif [[ -z $only_arguments && $word == -- ]]; then
            only_arguments=1
        elif [[ -z $only_arguments && $word == -?* ]]; then
            [[ $word == --*=* ]] || _aigc_option "$path" "$word"
        elif _aigc_is_command "$path" "$word"; then
            path+=${path:+ }$word
        else
            ((++count))
            last=$word
        fi
    done

    COMPREPLY=()
    if [[ -n $kind ]]; then
        :
    elif [[ -z $only_arguments && $cur == --*=* ]]; then
        _aigc_option "$path" "${cur%%=*}"
        cur=${cur#*=}
    elif [[ -z $only_arguments && $cur == -* ]]; then
        kind="words $(_aigc_options "$path")"
    else
        kind=$(_aigc_argument "$path" $((count + 1)))
    fi
    [[ $kind == setting ]] && kind=$(_aigc_setting "$last")

    case $kind in
        'words '*) _aigc_offer ${kind#words } ;;
        model) _aigc_offer_models ;;
    esac
    case $kind in
        model | file) ;;
        folder) compopt +o default -o dirnames 2>/dev/null ;;
        *) compopt +o default +o bashdefault 2>/dev/null ;;
    esac

    # bash replaces only what stands after the last : or =
    local kept=${cur%"${cur##*[:]}"}
    if [[ -n $kept && $COMP_WORDBREAKS == *:* ]]; then
        for i in "${!COMPREPLY[@]}"; do
            COMPREPLY[i]=${COMPREPLY[i]#"$kept"}
        done
    fi
}

complete -o bashdefault -o default -F _aigc aigc
"""


def bash_script(root: Command) -> str:
    models = "_aigc_models=(" + "".join(f"\n    {quoted(name)}" for name in MODELS) + "\n)\n"
    parts = [is_command(root), options(root), option_values(root), arguments(root), settings()]
    return "# bash completion for aigc, generated from its commands\n\n" + models + "".join(parts) + ALIASES + ENGINE


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def function(name: str, subject: str, cases: list[str], otherwise: str = "") -> str:
    body = [*cases, otherwise] if otherwise else cases
    return f"\n{name}() {{\n    case {subject} in\n" + "".join(f"        {case} ;;\n" for case in body) + "    esac\n}\n"


def is_command(root: Command) -> str:
    names = [quoted(f"{' '.join(command.path)}|{sub.path[-1]}") for command in root.walk() for sub in command.subcommands]
    return function("_aigc_is_command", '"$1|$2"', [f"{' | '.join(names)}) return 0"], "*) return 1")


def options(root: Command) -> str:
    cases = []
    for command in root.walk():
        names = " ".join(name for option in command.options for name in option.names)
        cases.append(f"{quoted(' '.join(command.path))}) echo {quoted(names)}")
    return function("_aigc_options", '"$1"', cases)


def option_values(root: Command) -> str:
    cases = []
    for command in root.walk():
        for option in command.options:
            if option.value:
                patterns = " | ".join(quoted(f"{' '.join(command.path)}|{name}") for name in option.names)
                cases.append(f"{patterns}) kind={quoted(described(option.value))}")
    return function("_aigc_option", '"$1|$2"', cases)


def arguments(root: Command) -> str:
    cases = []
    for command in root.walk():
        path = " ".join(command.path)
        if command.subcommands:
            names = " ".join(sub.path[-1] for sub in command.subcommands)
            cases.append(f"{quoted(f'{path}|1')}) echo {quoted(f'words {names}')}")
        for position, argument in enumerate(command.arguments, start=1):
            place = f"{quoted(f'{path}|')}*" if argument.is_repeatable else quoted(f"{path}|{position}")
            cases.append(f"{place}) echo {quoted(described(argument.value))}")
    return function("_aigc_argument", '"$1|$2"', cases)


def settings() -> str:
    cases = [f"{key}) echo {quoted(described(value))}" for key, value in setting_values().items()]
    return function("_aigc_setting", '"$1"', cases, "*) echo text")


def described(value: Value) -> str:
    return " ".join((value.kind, *value.words))

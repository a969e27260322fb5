"""The completion script for PowerShell 5.1 and up."""

from __future__ import annotations

from collections.abc import Iterable

from command_tree import MODELS, Command, Value, setting_values

HEAD = "# PowerShell completion for aigc, generated from its commands\n"

ALIASES = r"""
function Get-AigcAlias {
    $folder = if ($env:AIGC_HOME) { Join-Path ($env:AIGC_HOME -replace '^~', $HOME) 'config' }
        elseif ($IsMacOS) { Join-Path $HOME 'Library/Application Support/aigc' }
        elseif ($IsLinux -and $env:XDG_CONFIG_HOME) { Join-Path $env:XDG_CONFIG_HOME 'aigc' }
        elseif ($IsLinux) { Join-Path $HOME '.config/aigc' }
        else { Join-Path $env:LOCALAPPDATA 'aigc' }
    $file = Join-Path $folder 'config.toml'
    if (-not (Test-Path -LiteralPath $file -PathType Leaf)) { return }
    $table = ''
    foreach ($line in Get-Content -LiteralPath $file -Encoding UTF8) {
        if ($line -match '^\s*\[(.*?)\]') { $table = $Matches[1] }
        elseif ($table -eq 'aliases' -and $line -match '^\s*([^#=]+?)\s*=') { $Matches[1].Trim('"', "'") }
    }
}
"""

COMPLETER = r"""
Register-ArgumentCompleter -Native -CommandName aigc -ScriptBlock {
    param($current, $ast, $cursor)

    $path = ''
    $option = ''
    $count = 0
    $last = ''
    foreach ($element in $ast.CommandElements | Select-Object -Skip 1) {
        if ($element.Extent.EndOffset -ge $cursor) { break }
        $word = $element.Extent.Text
        if ($option) { $option = '' }
        elseif ($word -like '-*') { if ($AigcValues.ContainsKey("$path|$word")) { $option = "$path|$word" } }
        elseif ($AigcCommands["$path"] -contains $word) { $path = "$path $word".Trim() }
        else { $count++; $last = $word }
    }

    $kind = if ($option) { $AigcValues[$option] }
        elseif ($current -like '-*') { 'words ' + $AigcOptions[$path] }
        elseif ($AigcCommands[$path]) { 'words ' + ($AigcCommands[$path] -join ' ') }
        elseif ($AigcArguments["$path|*"]) { $AigcArguments["$path|*"] }
        else { $AigcArguments["$path|$($count + 1)"] }
    if ($kind -eq 'setting') { $kind = $AigcSettings[$last] }

    # nothing returned leaves it to PowerShell, which completes files
    $names = if ($kind -like 'words *') { $kind.Substring(6) -split ' ' }
        elseif ($kind -eq 'model') { $AigcModels + @(Get-AigcAlias) }
    $names | Where-Object { $_ -and $_.StartsWith($current) } | ForEach-Object {
        [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
    }
}
"""


def powershell_script(root: Command) -> str:
    commands = list(root.walk())
    groups = [command for command in commands if command.subcommands]
    tables = [
        table("Commands", ((path(group), words(sub.path[-1] for sub in group.subcommands)) for group in groups)),
        table("Options", ((path(command), quoted(names(command))) for command in commands)),
        table("Values", values(commands)),
        table("Arguments", arguments(commands)),
        table("Settings", ((key, quoted(described(value))) for key, value in setting_values().items())),
    ]
    models = f"\n$AigcModels = {words(MODELS)}\n"
    return HEAD + models + "".join(tables) + ALIASES + COMPLETER


def table(name: str, rows: Iterable[tuple[str, str]]) -> str:
    """A hash table that tells upper from lower case, as option names do."""
    lines = "".join(f"$Aigc{name}[{quoted(key)}] = {value}\n" for key, value in rows)
    return f"\n$Aigc{name} = [System.Collections.Hashtable]::new()\n{lines}"


def path(command: Command) -> str:
    return " ".join(command.path)


def names(command: Command) -> str:
    return " ".join(name for option in command.options for name in option.names)


def values(commands: list[Command]) -> Iterable[tuple[str, str]]:
    for command in commands:
        for option in command.options:
            if option.value:
                for name in option.names:
                    yield f"{path(command)}|{name}", quoted(described(option.value))


def arguments(commands: list[Command]) -> Iterable[tuple[str, str]]:
    for command in commands:
        for position, argument in enumerate(command.arguments, start=1):
            place = "*" if argument.is_repeatable else str(position)
            yield f"{path(command)}|{place}", quoted(described(argument.value))


def described(value: Value) -> str:
    return " ".join((value.kind, *value.words))


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def words(texts: Iterable[str]) -> str:
    return "@(" + ", ".join(map(quoted, texts)) + ")"

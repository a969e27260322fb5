"""`aigc models`: what there is, what is known of it, and the models on this disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aigc_cli.commands.models_fit import fit_model
from aigc_cli.commands.output import follow, open_output
from aigc_cli.core.errors import ModelError, UsageError
from aigc_cli.core.units import format_count, format_size
from aigc_cli.options import OutputOptions, expand_dataclasses

if TYPE_CHECKING:
    from aigc_cli.models.inventory import Known, KnownPart
    from aigc_cli.render.output import Output

models_app = typer.Typer(help="List, download, remove and name models, and see what fits.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="Built-in name, alias, folder, file or Hub id.")]
UNDO = "to have the name back: aigc models alias --remove {}"
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@models_app.command("list")
@expand_dataclasses
def list_models(options: OutputOptions) -> None:
    """Show built-in models, your aliases, what is downloaded, and what the catalogue has."""
    from aigc_cli.models.inventory import inventory
    from aigc_cli.render.table import write_table

    output = open_output(options)
    if options.json:
        for known in inventory():
            output.write_json(known.to_json())
    else:
        rows = [row(known) for known in inventory()]
        write_table(output, ("NAME", "STATUS", "KIND", "SIZE", "PARAMETERS", "LICENCE", "MODEL"), rows)


@models_app.command("show")
@expand_dataclasses
def show_model(name: Name, options: OutputOptions) -> None:
    """Show all that is known of a model, without loading it."""
    from aigc_cli.models.inventory import describe
    from aigc_cli.render.table import write_fields

    output = open_output(options)
    known = describe(name)
    if options.json:
        output.write_json(known.to_json())
        return
    write_fields(output, fields(known))
    if known.status in ("available", "in part"):
        output.note(f"to download it: aigc models pull {name}")


@models_app.command("pull")
@expand_dataclasses
def pull_model(name: Name, options: OutputOptions, yes: Yes = False) -> None:
    """Download a model, or its newest revision, and print where it lies."""
    from aigc_cli.models.hub import fetch
    from aigc_cli.models.inventory import describe
    from aigc_cli.models.kinds import check_any
    from aigc_cli.models.names import HubId, identify
    from aigc_cli.render.confirm import terminal_confirm

    output = open_output(options)
    hub_id = identify(name)
    if not isinstance(hub_id, HubId):
        raise UsageError(f"{name} is not on the Hub: there is nothing to download", "a Hub id has the form org/name")
    path = follow(fetch(hub_id, assume_yes=yes, confirm=terminal_confirm(), check=check_any), output)
    check_any(path)
    if options.json:
        output.write_json(describe(name).to_json())
    else:
        output.write(f"{path}\n")


@models_app.command("rm")
@expand_dataclasses
def remove_model(name: Name, options: OutputOptions, yes: Yes = False) -> None:
    """Delete a downloaded model, all its revisions."""
    from aigc_cli.models.hub_cache import remove
    from aigc_cli.models.inventory import find_cached
    from aigc_cli.models.names import HubId, identify
    from aigc_cli.render.confirm import terminal_confirm

    output = open_output(options)
    hub_id = identify(name)
    if not isinstance(hub_id, HubId):
        raise UsageError(f"{name} is not a downloaded model: it stays", "see what is downloaded: aigc models list")
    if hub_id != HubId(hub_id.repo):
        raise UsageError("rm deletes all revisions and files of a model", f"name it without revision and file: {hub_id.repo}")
    cached = find_cached(hub_id)
    if cached is None:
        raise ModelError(f"{name} is not in the cache", "see what is: aigc models list")
    if not yes:
        confirm = terminal_confirm()
        if confirm is None:
            raise UsageError(f"{cached.repo} is not deleted unasked, and there is no terminal to ask on", "add --yes")
        if not confirm(f"Delete {cached.repo}, {format_size(cached.size)}?"):
            raise UsageError(f"{cached.repo} was not deleted")
    remove(cached)
    if options.json:
        output.write_json({"id": cached.repo, "freed": cached.size})
    else:
        output.note(f"{cached.repo} is deleted: {format_size(cached.size)} freed")


@models_app.command("alias")
@expand_dataclasses
def alias_model(
    options: OutputOptions,
    alias: Annotated[str | None, typer.Argument(metavar="NAME", help="Your name for a model.")] = None,
    target: Annotated[str | None, typer.Argument(metavar="TARGET", help="What it stands for.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Forget the alias.")] = False,
) -> None:
    """Show your aliases, or give a model a name of your own."""
    from aigc_cli.models.aliases import remove_alias, set_alias
    from aigc_cli.models.catalogue import catalogue

    output = open_output(options)
    if remove:
        if alias is None or target is not None:
            raise UsageError("--remove wants one alias", "for example: aigc models alias --remove mine")
        remove_alias(alias)
        output.note(f"{alias} is forgotten")
    elif alias is None or target is None:
        show_aliases(alias, output)
    else:
        target = checked_target(target)
        set_alias(alias, target)
        output.note(f"{alias} stands for {target}")
        if (entry := catalogue().get(alias)) and entry.id != target:
            output.caution(f"{alias} is the catalogue's name for {entry.id}, which from now on only goes by that", UNDO.format(alias))


def show_aliases(alias: str | None, output: Output) -> None:
    """All, or the one that is named."""
    from aigc_cli.models.aliases import read_aliases
    from aigc_cli.render.table import write_table

    aliases = read_aliases()
    if alias is not None and alias not in aliases:
        raise UsageError(f"there is no alias {alias!r}", f"to make one: aigc models alias {alias} TARGET")
    shown = sorted(aliases.items()) if alias is None else [(alias, aliases[alias])]
    if output.json:
        for name, target in shown:
            output.write_json({"name": name, "target": target})
    elif shown:
        write_table(output, ("NAME", "MODEL"), shown)
    else:
        output.note("there are no aliases; to make one: aigc models alias NAME TARGET")


def checked_target(target: str) -> str:
    """A path is made absolute, for the alias must mean the same in every folder. Raises: ModelError if unknown."""
    from aigc_cli.models.names import identify

    found = identify(target)
    return os.path.abspath(found) if isinstance(found, Path) else target


def row(known: Known) -> tuple[str, ...]:
    """A line of the list."""
    size = "-" if known.size is None else format_size(known.size)
    return (known.name, known.status, known.modality or "-", size, parameters(known), known.licence or "-", known.target or known.id or "-")


def fields(known: Known) -> list[tuple[str, str]]:
    """What `show` prints: names with spaces, numbers as people read them."""
    readable = {
        "gated": "accept the licence on the Hub first" if known.gated else None,
        "parameters": parameters(known) if known.parameters else None,
        "size": format_size(known.size) if known.size is not None else None,
        "chat_template": None if known.chat_template is None else "yes" if known.chat_template else "no",
        "own_size": f"{known.own_size[0]} x {known.own_size[1]}" if known.own_size else None,
    }
    facts = [(name, readable.get(name, value)) for name, value in known.to_json().items() if name not in ("parts", "card")]
    parts = [(part.name, part_words(part)) for part in known.parts or ()]
    return [*((name.replace("_", " "), str(value)) for name, value in facts), *parts, *(known.card or {}).items()]


def part_words(part: KnownPart) -> str:
    return f"{part.kind}, {format_count(part.parameters)} parameters, {part.dtype}, {format_size(part.size)}"


def parameters(known: Known) -> str:
    return format_count(known.parameters) if isinstance(known.parameters, int) else known.parameters or "-"


models_app.command("fit")(expand_dataclasses(fit_model))

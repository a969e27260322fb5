"""The user's own names for models: the [aliases] table of the user's config.toml."""

from __future__ import annotations

import re

from aigc_cli.core.engine import OPENAI
from aigc_cli.core.errors import UsageError
from aigc_cli.settings import folders, read_file

TABLE = "aliases"
ALIAS = re.compile(r"[^\W_][\w.:+-]*")
RESERVED = ("builtin:", OPENAI)


def read_aliases() -> dict[str, str]:
    """Alias -> what it stands for. Raises: UsageError for a table that holds anything else."""
    path = folders().config_file
    table = read_file(path).get(TABLE, {})
    if not isinstance(table, dict) or not all(isinstance(target, str) for target in table.values()):
        raise UsageError(f"{path}: [{TABLE}] must map names to models", 'for example: small = "Qwen/Qwen3-0.6B"')
    return table


def set_alias(alias: str, target: str) -> None:
    """Raises: UsageError for a name that could not be used."""
    if alias.startswith(RESERVED) or not ALIAS.fullmatch(alias):
        raise UsageError(f"{alias!r} cannot be an alias", "take letters, digits and . : + - _, without builtin: or openai: in front")
    if target == alias or target in read_aliases():
        raise UsageError(f"{target!r} is an alias itself", "let it stand for a Hub id, a path or a name of the catalogue")
    from aigc_cli.config_file import set_value  # with a library that every run of a model would else import

    set_value(folders().config_file, alias, target, TABLE)


def remove_alias(alias: str) -> None:
    """Raises: UsageError for an alias that is not there."""
    from aigc_cli.config_file import unset_value

    if not unset_value(folders().config_file, alias, TABLE):
        raise UsageError(f"there is no alias {alias!r}", "see: aigc models alias")

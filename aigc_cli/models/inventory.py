"""What there is to choose from, and all that is known of one model. Asks no network and reads no weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from aigc_cli.installation import folder_size
from aigc_cli.models.adapters import IMAGE_ADAPTER_WEIGHTS, Adapter, image_adapter
from aigc_cli.models.aliases import read_aliases
from aigc_cli.models.card import read_card
from aigc_cli.models.catalogue import BUILTINS, Builtin, Entry, catalogue, entry_of
from aigc_cli.models.check import read_header
from aigc_cli.models.checkpoints import identify_checkpoint
from aigc_cli.models.facts import commonest, model_facts
from aigc_cli.models.hub_cache import CachedModel, cached_model, cached_models
from aigc_cli.models.kinds import cached_modality, check_any, modality
from aigc_cli.models.names import HubId, RemoteName, identify
from aigc_cli.models.pipeline_facts import folder_pipeline


@dataclass(frozen=True)
class KnownPart:
    """A network of an image model. size: bytes of its weights on disk."""

    name: str
    kind: str
    parameters: int
    dtype: str | None
    size: int


@dataclass(frozen=True, kw_only=True)
class Known:
    """A model; None where a fact is not known.

    status: "available" is one that the catalogue names and the Hub has; "in part" a download that was cut.
    target: what an alias stands for.  base: the model that an adapter was trained on.
    parameters: the card's words, or a count.  size: bytes on disk.  card: what the model's own card says of it.
    Of an image model, architecture is the pipeline's class; own_size: width and height that it was made for; parts: its networks.
    """

    name: str
    status: Literal["built-in", "alias", "downloaded", "in part", "available", "local", "remote"]
    target: str | None = None
    id: str | None = None
    modality: str | None = None
    mode: str | None = None
    licence: str | None = None
    gated: bool | None = None
    parameters: str | int | None = None
    size: int | None = None
    path: Path | None = None
    commit: str | None = None
    architecture: str | None = None
    context_length: int | None = None
    dtype: str | None = None
    chat_template: bool | None = None
    own_size: tuple[int, int] | None = None
    parts: tuple[KnownPart, ...] | None = None
    base: str | None = None
    card: Mapping[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        """Only what is known."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items() if value is not None}


def inventory() -> Iterator[Known]:
    """Built-in models, the user's aliases, what is in the cache, and what else the catalogue has."""
    for builtin in BUILTINS.values():
        if builtin.path.is_dir():
            yield describe_builtin(builtin)
    aliases = read_aliases()
    for alias, target in sorted(aliases.items()):
        yield Known(name=alias, status="alias", target=target)
    cached = {model.repo.casefold(): model for model in cached_models()}
    for model in cached.values():
        entry = entry_of(model.repo)
        status: Literal["in part", "downloaded"] = "downloaded" if model.is_whole else "in part"
        facts = {"modality": cached_modality(model)} | card(model.repo, entry)
        yield Known(name=name_of(entry, aliases) if entry else model.repo, status=status, size=model.size, **facts)
    for entry in catalogue().values():
        if entry.id.casefold() not in cached:
            yield Known(name=name_of(entry, aliases), status="available", **card(entry.id, entry))


def name_of(entry: Entry, aliases: Mapping[str, str]) -> str:
    """The catalogue's, unless the user has given it to another model."""
    return entry.id if entry.alias in aliases else entry.alias


def card(repo: str, entry: Entry | None) -> dict[str, Any]:
    """What the catalogue says of a Hub model."""
    if entry is None:
        return {"id": repo}
    facts = asdict(entry)
    del facts["alias"]
    return facts | {"gated": entry.gated or None}


def describe(name: str) -> Known:
    """Raises: ModelError for a name that is unknown, or a folder or file that is no model."""
    match identify(name):
        case Builtin() as builtin:
            return describe_builtin(builtin)
        case RemoteName():
            return Known(name=name, status="remote")
        case HubId() as hub_id:
            return describe_hub(name, hub_id)
        case Path() as path:
            if adapter := image_adapter(path):
                return describe_image_adapter(name, adapter)
            path = check_any(path)
            return Known(name=name, status="local", path=path.absolute(), **facts_on_disk(path))


def describe_image_adapter(name: str, adapter: Adapter) -> Known:
    weights = adapter.path / IMAGE_ADAPTER_WEIGHTS
    parameters = read_header(weights).parameters
    return Known(
        name=name,
        status="local",
        modality="image adapter",
        path=adapter.path.absolute(),
        base=adapter.base,
        parameters=parameters.total(),
        dtype=commonest(parameters),
        size=weights.stat().st_size,
    )


def describe_builtin(builtin: Builtin) -> Known:
    path = check_any(builtin.folder())
    card = read_card(path)
    facts = facts_on_disk(path) | {"modality": builtin.modality, "mode": builtin.mode, "licence": card.licence, "card": card.facts or None}
    return Known(name=builtin.name, status="built-in", path=path, **facts)


def describe_hub(name: str, hub_id: HubId) -> Known:
    cached = find_cached(hub_id)
    facts = card(hub_id.repo, hub_id.entry)
    path = cached_model(hub_id, check_any)
    if path:
        commit = path.name if path.is_dir() else path.parent.name
        facts |= facts_on_disk(path) | {"path": path, "commit": commit}
    status: Literal["downloaded", "in part", "available"] = "downloaded" if path else "in part" if cached else "available"
    return Known(name=name, status=status, **facts | ({"size": cached.size} if cached else {}))


def find_cached(hub_id: HubId) -> CachedModel | None:
    return next((model for model in cached_models() if model.repo.casefold() == hub_id.repo.casefold()), None)


def facts_on_disk(path: Path) -> dict[str, Any]:
    kind = modality(path)
    size = folder_size(path) if path.is_dir() else path.stat().st_size
    if kind == "image":
        return {"modality": kind, "size": size} | pipeline_facts_on_disk(path)
    facts = model_facts(path)
    return {
        "modality": kind,
        "architecture": facts.architecture,
        "parameters": facts.parameters,
        "dtype": facts.dtype,
        "context_length": facts.context_length,
        "chat_template": facts.has_chat_template,
        "size": size,
    }


def pipeline_facts_on_disk(path: Path) -> dict[str, Any]:
    if path.is_file():  # what completes it may not be here
        header = read_header(path)
        checkpoint = identify_checkpoint(header.shapes)
        return {
            "architecture": checkpoint.family if checkpoint else None,
            "licence": header.metadata.get("modelspec.license"),  # github.com/Stability-AI/ModelSpec
            "parameters": header.parameters.total(),
            "dtype": commonest(header.parameters),
        }
    facts = folder_pipeline(path)
    return {
        "architecture": facts.pipeline,
        "parameters": facts.count,
        "own_size": facts.own_size,
        "parts": tuple(KnownPart(part.name, part.kind, part.count, part.dtype, part.size) for part in facts.parts),
    }

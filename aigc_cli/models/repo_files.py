"""Which files of a Hub repository make up a model: what loading needs, and nothing that could run code."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from aigc_cli.core.errors import ModelError
from aigc_cli.models.check import ADAPTER_CONFIG, CONFIG, CONVERT, PICKLES, PIPELINE_INDEX, WEIGHTS, WEIGHTS_INDEX, shorten
from aigc_cli.models.check_image import PART_WEIGHTS, WITHOUT_WEIGHTS, pipeline_parts

SAFE_NAME = re.compile(r"[\w.+-]+(/[\w.+-]+)?")
SMALL = (".json", ".txt", ".model", ".jinja")
SINGLE_FILES = (".gguf", ".safetensors")
SHARD = r"-\d+-of-\d+\.safetensors"


def choose_files(repo: str, names: Iterable[str], file: str | None = None, index: dict[str, Any] | None = None) -> list[str]:
    """The files to download, small ones first, so that weights on disk mean a whole model.

    file: the one that the user named.  index: the content of the model_index.json that the repository has, if it has one.
    Raises: ModelError for a repository without safe weights.
    """
    names = sorted(name for name in names if SAFE_NAME.fullmatch(name) and ".." not in name)
    if file:
        if file not in names:
            raise ModelError(f"{repo} has no file {file}", f"it has {listed(names, SINGLE_FILES) or 'no files of that kind'}")
        return [file]
    if index is not None:
        return pipeline_files(repo, names, index)
    weights = safetensors(names)
    if weights and CONFIG in names:
        return [name for name in names if is_small(name)] + weights
    return [only_gguf(repo, names)]


def safetensors(names: list[str]) -> list[str]:
    """The weights that transformers loads: one file, or the shards of an index."""
    if WEIGHTS in names:
        return [WEIGHTS]
    return shards(names, WEIGHTS_INDEX)


def shards(names: list[str], index: str) -> list[str]:
    """Those of an index, by their names; none where the repository has no such index."""
    stem = re.escape(index.removesuffix(".safetensors.index.json"))
    return [name for name in names if re.fullmatch(stem + SHARD, name)] if index in names else []


def is_small(name: str) -> bool:
    return "/" not in name and name.endswith(SMALL)


def only_gguf(repo: str, names: list[str]) -> str:
    """The GGUF file of a repository that has just one. Raises: ModelError for any other."""
    ggufs = [name for name in names if "/" not in name and name.endswith(".gguf")]
    if len(ggufs) == 1:
        return ggufs[0]
    if ggufs:
        raise ModelError(f"{repo} has {len(ggufs)} GGUF files", f"name one: -m {repo}:{ggufs[0]} (there is {listed(names, ('.gguf',))})")
    if ADAPTER_CONFIG in names:
        raise ModelError(f"{repo} holds an adapter, not a model", "an adapter goes on top of the model that it was trained from")
    if CONFIG in names and (pickles := [name for name in names if name.endswith(PICKLES)]):
        raise ModelError(f"{repo} has its weights only as a pickle: {shorten(pickles)}", CONVERT)
    if checkpoints := [name for name in names if "/" not in name and name.endswith(".safetensors")]:
        hint = f"if one of its files is a whole image model, name it: -m {repo}:{checkpoints[0]} (there is {shorten(checkpoints)})"
        raise ModelError(f"{repo} has neither a {CONFIG} nor a {PIPELINE_INDEX}", hint)
    raise ModelError(f"{repo} holds no model that aigc can load", f"it has {shorten(names) or 'no files'}")


def listed(names: list[str], suffixes: tuple[str, ...]) -> str:
    return ", ".join(name for name in names if "/" not in name and name.endswith(suffixes))


def pipeline_files(repo: str, names: list[str], index: dict[str, Any]) -> list[str]:
    """A diffusers pipeline: its index, and of every part that it names the configs and the weights in full precision.

    Real repositories hold more, often several times as much: the same weights as one file at the top, in half precision, for
    other frameworks, from before averaging (non_ema), and folders that the pipeline does not use.
    """
    small, weights = [PIPELINE_INDEX], []
    for part, (_, name) in pipeline_parts(index, repo).items():
        small += [each for each in names if each.startswith(f"{part}/") and each.endswith(SMALL)]
        if not WITHOUT_WEIGHTS.search(name):
            weights += part_weights(repo, names, part)
    return small + weights


def part_weights(repo: str, names: list[str], part: str) -> list[str]:
    """One file, or the shards of an index. Raises: ModelError where there is neither."""
    for stem in PART_WEIGHTS:
        whole, index = f"{part}/{stem}.safetensors", f"{part}/{stem}.safetensors.index.json"
        if found := [whole] if whole in names else shards(names, index):
            return found
    there = [name for name in names if name.startswith(f"{part}/") and name.endswith((".safetensors", *PICKLES))]
    if there and all(name.endswith(PICKLES) for name in there):
        raise ModelError(f"{repo} has its {part} only as a pickle: {shorten(there)}", CONVERT)
    hint = f"it has {shorten(there)}" if there else "the repository is not complete: take another one"
    raise ModelError(f"{repo} has no {part} in full precision as safetensors", hint)

"""Which files of a Hub repository make up a model: what loading needs, and nothing that could run code."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from aigc_cli.core.errors import ModelError
from aigc_cli.models.check import ADAPTER_CONFIG, CONFIG, CONVERT, PICKLES, PIPELINE_INDEX, WEIGHTS, WEIGHTS_INDEX, shorten

SAFE_NAME = re.compile(r"[\w.+-]+(/[\w.+-]+)?")
SMALL = (".json", ".txt", ".model", ".jinja")
SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
VARIANT = re.compile(r"\.(fp16|bf16|fp32|non_ema|ema)(?=[.-])")


def choose_files(repo: str, names: Iterable[str], gguf: str | None = None) -> list[str]:
    """The files to download, small ones first, so that weights on disk mean a whole model.

    gguf: the file that the user named.  Raises: ModelError for a repository without safe weights.
    """
    names = sorted(name for name in names if SAFE_NAME.fullmatch(name) and ".." not in name)
    if gguf:
        if gguf not in names:
            raise ModelError(f"{repo} has no file {gguf}", f"it has {listed_ggufs(names)}")
        return [gguf]
    if PIPELINE_INDEX in names:
        return pipeline_files(names)
    weights = safetensors(names)
    if weights and CONFIG in names:
        return [name for name in names if is_small(name)] + weights
    return [only_gguf(repo, names)]


def safetensors(names: list[str]) -> list[str]:
    """The weights that transformers loads: one file, or the shards of an index."""
    if WEIGHTS in names:
        return [WEIGHTS]
    return [name for name in names if SHARD.fullmatch(name)] if WEIGHTS_INDEX in names else []


def is_small(name: str) -> bool:
    return "/" not in name and name.endswith(SMALL)


def only_gguf(repo: str, names: list[str]) -> str:
    """The GGUF file of a repository that has just one. Raises: ModelError for any other."""
    ggufs = [name for name in names if "/" not in name and name.endswith(".gguf")]
    if len(ggufs) == 1:
        return ggufs[0]
    if ggufs:
        raise ModelError(f"{repo} has {len(ggufs)} GGUF files", f"name one: -m {repo}:{ggufs[0]} (there is {listed_ggufs(names)})")
    if ADAPTER_CONFIG in names:
        raise ModelError(f"{repo} holds an adapter, not a model", "an adapter goes on top of the model that it was trained from")
    if CONFIG in names and (pickles := [name for name in names if name.endswith(PICKLES)]):
        raise ModelError(f"{repo} has its weights only as a pickle: {shorten(pickles)}", CONVERT)
    raise ModelError(f"{repo} holds no model that aigc can load", f"it has {shorten(names) or 'no files'}")


def listed_ggufs(names: list[str]) -> str:
    return ", ".join(name for name in names if name.endswith(".gguf")) or "no GGUF file"


def pipeline_files(names: list[str]) -> list[str]:
    """A diffusers pipeline: the index, and in each component's folder its configs and full-precision safetensors."""
    parts = [PurePosixPath(name) for name in names if "/" in name]
    small = [str(part) for part in parts if part.suffix in SMALL]
    weights = [str(part) for part in parts if part.suffix == ".safetensors" and not VARIANT.search(part.name)]
    return [PIPELINE_INDEX, *small, *weights]

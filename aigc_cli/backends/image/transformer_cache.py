"""A diffusion transformer's blocks, most of which run in every second step only.

What the blocks after the first add to the tokens changes slowly from step to step: in the steps between, the first block of each
list runs, and what the others added in the step before is added again. First Block Cache (github.com/chengzeyi/ParaAttention) splits
a network in the same place and decides by how much the first block's output changed; here the number of the step decides, so that a
picture does not depend on what else is in its batch. diffusers' own caches know only some of the families.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from aigc_cli.backends.image.drift import Drift

WHOLE_EVERY = 2  # steps
LISTS = ("transformer_blocks", "single_transformer_blocks", "layers")  # as diffusers calls them


def deep_lists(network: Any) -> dict[str, torch.nn.ModuleList]:
    """Those of more than one block."""
    found = {name: getattr(network, name, None) for name in LISTS}
    return {name: blocks for name, blocks in found.items() if isinstance(blocks, torch.nn.ModuleList) and len(blocks) > 1}


@dataclass
class Pass:
    """What is kept of one kind of call: with the prompt, without it, or both at once. The rest is by the name of the list.

    first: what its first block made.  added: what the others added to that in the last whole step.
    Both are the hidden states, or a pair of those of the text and of the picture.
    """

    calls: int = 0
    is_whole: bool = True
    first: dict[str, Any] = field(default_factory=dict)
    added: dict[str, Any] = field(default_factory=dict)


class TransformerCache:
    """Takes the place of a transformer's lists of blocks during one call of its pipeline."""

    def __init__(self, network: Any) -> None:
        self.network = network
        self.passes: dict[str, Pass] = {}
        self.now = Pass()
        self.drift = Drift()

    @contextmanager
    def in_place(self) -> Iterator[Drift]:
        lists = deep_lists(self.network)
        hook = self.network.register_forward_pre_hook(self.count)
        try:
            for name, blocks in lists.items():
                roles = [First, *[Middle] * (len(blocks) - 2), Last]
                cached = [role(block, self, name) for role, block in zip(roles, blocks, strict=True)]
                setattr(self.network, name, torch.nn.ModuleList(cached))
            self.network.cache_context = self.context  # with it pipelines name their kinds of calls, if there is more than one
            yield self.drift
        finally:
            vars(self.network).pop("cache_context", None)
            for name, blocks in lists.items():
                setattr(self.network, name, blocks)
            hook.remove()

    @contextmanager
    def context(self, name: str, **_: Any) -> Iterator[None]:
        before, self.now = self.now, self.passes.setdefault(name, Pass())
        try:
            yield
        finally:
            self.now = before

    def count(self, *_: Any) -> None:
        self.now.is_whole = self.now.calls % WHOLE_EVERY == 0
        self.now.calls += 1


class First(torch.nn.Module):
    """The block of a list that always runs."""

    def __init__(self, block: torch.nn.Module, cache: TransformerCache, name: str) -> None:
        super().__init__()
        self.block, self.cache, self.name = block, cache, name

    def forward(self, *arguments: Any, **options: Any) -> Any:
        outputs = self.cache.now.first[self.name] = self.block(*arguments, **options)
        return outputs


class Middle(First):
    """A block that is passed by in other steps than whole ones."""

    def forward(self, *arguments: Any, **options: Any) -> Any:
        now = self.cache.now
        return self.block(*arguments, **options) if now.is_whole else now.first[self.name]


class Last(First):
    """The block that knows what those after the first have added."""

    def forward(self, *arguments: Any, **options: Any) -> Any:
        now = self.cache.now
        first = now.first.pop(self.name)
        if not now.is_whole:
            return total(first, now.added[self.name])
        outputs = self.block(*arguments, **options)
        added = difference(outputs, first)
        if self.name in now.added:
            self.cache.drift.compare(now.added[self.name], added)
        now.added[self.name] = added
        return outputs


def difference(end: Any, start: Any) -> Any:
    """None for the text's states, which some last blocks drop."""
    if isinstance(end, tuple):
        return tuple(map(difference, end, start))
    return None if end is None else end - start


def total(start: Any, added: Any) -> Any:
    if isinstance(added, tuple):
        return tuple(map(total, start, added))
    return None if added is None else start + added

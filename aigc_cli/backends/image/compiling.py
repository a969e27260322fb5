"""torch.compile for the blocks that a denoiser repeats: compiled once for all of them, which takes a tenth of the time of the whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch


def compile_blocks(network: Any, *, fuse: bool) -> None:
    """fuse: query, key and value become one product, where the network can; that pays on a GPU.

    The compiler runs at the first step, and what it lacks, such as a C++ compiler on a CPU, is raised there.
    """
    if fuse and hasattr(network, "fuse_qkv_projections"):
        network.fuse_qkv_projections()
    for block in repeated_blocks(network):
        block.compile()


def repeated_blocks(network: Any) -> Iterator[torch.nn.Module]:
    """As diffusers names them, else the members of the network's own lists."""
    names = getattr(network, "_repeated_blocks", None)
    if names:
        yield from (module for module in network.modules() if type(module).__name__ in names)
    else:
        yield from (block for blocks in network.children() if isinstance(blocks, torch.nn.ModuleList) for block in blocks)

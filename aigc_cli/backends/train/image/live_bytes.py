"""Counts the bytes of all tensors that live at once while something is computed, on any device."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.weak import WeakIdKeyDictionary


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Every operation inside `with LiveBytes(there):` is seen, those of the backward pass too; memory that a kernel takes for itself
    is not. As torch.distributed's memory tracker does it, for its peak alone.

    there: tensors that are not counted, for they were there before.  peak: bytes.
    """

    def __init__(self, there: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live, self.peak = 0, 0
        self._seen = WeakIdKeyDictionary(ref_type=weakref.ref)
        for tensor in there:
            self._seen[tensor.untyped_storage()] = None

    def __torch_dispatch__(self, operation: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        result = operation(*arguments, **(options or {}))
        tree_map_only(torch.Tensor, self._follow, result)
        return result

    def _follow(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage not in self._seen:
            size = storage.nbytes()
            self.live += size
            self.peak = max(self.peak, self.live)
            self._seen[storage] = weakref.finalize(storage, self._free, size)
        return tensor

    def _free(self, size: int) -> None:
        self.live -= size

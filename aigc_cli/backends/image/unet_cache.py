"""A UNet's deep layers, run in every third step only.

They change slowly from step to step: the steps between run the first and the last layer alone, on the feature map that entered the
last layer in the step before. That is DeepCache (Ma et al. 2023, arXiv:2312.00858) with its outermost branch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from aigc_cli.backends.image.drift import Drift

Forward = Callable[..., Any]
WHOLE_EVERY = 3  # steps


class UNetCache:
    """Takes the place of a UNet's blocks during one call of its pipeline.

    deep: the feature map that entered the last layer in the last whole step, before the skip connection joined it.
    """

    def __init__(self, unet: Any) -> None:
        self.unet = unet
        self.last_block = unet.up_blocks[-1]
        self.last_layer = only_last_layer(self.last_block)
        self.calls, self.is_whole = 0, True
        self.deep: torch.Tensor | None = None
        self.drift = Drift()

    @contextmanager
    def in_place(self) -> Iterator[Drift]:
        blocks = [*self.unet.down_blocks, self.unet.mid_block, *self.unet.up_blocks[:-1]]
        stand_ins = {block: self.skipping(block.forward) for block in blocks if block is not None}
        stand_ins[self.last_block] = self.finishing(self.last_block.forward)
        hooks = [
            self.unet.register_forward_pre_hook(self.count, with_kwargs=True),
            self.last_block.resnets[-1].register_forward_pre_hook(self.remember),
        ]
        own = {block: vars(block).get("forward") for block in stand_ins}  # there is one where parts are offloaded
        try:
            for block, forward in stand_ins.items():
                block.forward = forward
            yield self.drift
        finally:
            for block, forward in own.items():
                del block.forward
                if forward:
                    block.forward = forward
            for hook in hooks:
                hook.remove()

    def count(self, unet: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        sample: torch.Tensor = arguments[0] if arguments else options["sample"]
        is_of_same_size = self.deep is not None and (len(sample), *sample.shape[2:]) == (len(self.deep), *self.deep.shape[2:])
        self.is_whole = not is_of_same_size or self.calls % WHOLE_EVERY == 0
        self.calls += 1

    def remember(self, layer: Any, arguments: tuple[Any, ...]) -> None:
        if self.is_whole:
            deep = arguments[0][:, : -self.unet.conv_in.out_channels]
            if self.deep is not None and self.deep.shape == deep.shape:
                self.drift.compare(self.deep, deep)
            self.deep = deep

    def skipping(self, forward: Forward) -> Forward:
        """A block that in other steps than whole ones hands on placeholders, as many as it has outputs."""
        shape: Any = None

        def run(*arguments: Any, **options: Any) -> Any:
            nonlocal shape
            if not self.is_whole:
                return shape
            outputs = forward(*arguments, **options)
            shape = placeholders(outputs)
            return outputs

        return run

    def finishing(self, forward: Forward) -> Forward:
        """The last block, of which only the last layer always runs. It gets the first skip connection, that of conv_in."""

        def run(*arguments: Any, **options: Any) -> Any:
            if self.is_whole:
                return forward(*arguments, **options)
            skip = options["res_hidden_states_tuple"][:1]
            return self.last_layer(**options | {"hidden_states": self.deep, "res_hidden_states_tuple": skip})

        return run


def only_last_layer(block: Any) -> Any:
    """A copy of an up block that shares its weights and has one layer."""
    copied = copy.copy(block)
    copied._modules = dict(block._modules)
    for name in ("resnets", "attentions"):
        if name in copied._modules:
            setattr(copied, name, torch.nn.ModuleList([getattr(block, name)[-1]]))
    return copied


def placeholders(outputs: Any) -> Any:
    """A zero without dimensions for each tensor: what a ControlNet adds to it gives a sum all the same."""
    return outputs.new_zeros(()) if isinstance(outputs, torch.Tensor) else tuple(placeholders(output) for output in outputs)

"""The random numbers of a picture: they depend on its seed alone, not on its batch, its place in it, or the device.

diffusers draws all noise through its `randn_tensor`, in the pipeline's dtype, from the generators it is given or, where a
pipeline hands none to its scheduler, from torch's global one. Here every number is drawn in float32 on the CPU from a
generator of the picture's own, and only then cast and moved.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from aigc_cli.core.image import ImageRequest

PARALLEL = 0.9995  # cosine above which two directions are blended straight: the formula would divide by nearly 0
ENCODER_MODULES = "diffusers.models."  # a VAE samples while it encodes a picture


class PictureNoise:
    """One picture's generator. The first noise drawn is what the picture grows from; `variation` blends it with another seed's."""

    def __init__(self, request: ImageRequest) -> None:
        self.generator = torch.Generator("cpu").manual_seed(request.seed)
        self.encoder = torch.Generator("cpu").manual_seed(request.seed)  # apart, so that what an encoder draws moves nothing
        self.variation, self.variation_seed = request.variation, request.variation_seed
        self.has_begun = False

    def randn(self, shape: tuple[int, ...]) -> torch.Tensor:
        noise = torch.randn(shape, generator=self.generator)
        if self.variation and not self.has_begun:
            assert self.variation_seed is not None
            other = torch.randn(shape, generator=torch.Generator("cpu").manual_seed(self.variation_seed))
            noise = slerp(noise, other, self.variation)
        self.has_begun = True
        return noise


class BatchNoise:
    """The noise of pictures that are drawn together, in the order of their requests."""

    def __init__(self, requests: Sequence[ImageRequest]) -> None:
        self.pictures = [PictureNoise(request) for request in requests]

    @property
    def generators(self) -> list[torch.Generator]:
        """What a pipeline is given; they also tell which picture a call is for."""
        return [picture.generator for picture in self.pictures]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """diffusers draws from here as long as this lasts. One at a time in a process."""
        modules = [(name, module) for name, module in list(sys.modules.items()) if name.startswith("diffusers.")]
        replaced = [(name, module, vars(module)["randn_tensor"]) for name, module in modules if "randn_tensor" in vars(module)]
        try:
            for name, module, _ in replaced:
                vars(module)["randn_tensor"] = self.encoder_randn if name.startswith(ENCODER_MODULES) else self.randn
            yield
        finally:
            for _, module, original in replaced:
                vars(module)["randn_tensor"] = original

    def randn(self, shape: Sequence[int], generator: Any = None, device: Any = None, dtype: Any = None, layout: Any = None) -> torch.Tensor:
        """Stands for diffusers' function of that signature. Raises: ValueError for a batch of another size than ours."""
        pictures = self._asked_for(generator, shape[0])
        return torch.cat([picture.randn((1, *shape[1:])) for picture in pictures]).to(device=device, dtype=dtype)

    def encoder_randn(
        self, shape: Sequence[int], generator: Any = None, device: Any = None, dtype: Any = None, layout: Any = None
    ) -> torch.Tensor:
        pictures = self._asked_for(generator, shape[0])
        return torch.cat([torch.randn((1, *shape[1:]), generator=picture.encoder) for picture in pictures]).to(device=device, dtype=dtype)

    def _asked_for(self, generator: Any, count: int) -> list[PictureNoise]:
        if generator is None:
            asked = self.pictures * max(1, count // len(self.pictures))  # a guided batch may come twice over
        else:
            given = generator if isinstance(generator, list) else [generator]
            asked = [picture for wanted in given for picture in self.pictures if picture.generator is wanted]
        if len(asked) != count:
            raise ValueError(f"noise for {count} pictures was asked of {len(asked)} generators")
        return asked


def slerp(start: torch.Tensor, end: torch.Tensor, share: float) -> torch.Tensor:
    """Between two tensors of Gaussian noise along the sphere, which keeps their length. Shoemake 1985, "Animating Rotation"."""
    cosine = torch.dot(start.flatten(), end.flatten()) / (start.norm() * end.norm())
    if abs(cosine) > PARALLEL:
        return torch.lerp(start, end, share)
    angle = torch.acos(cosine)
    return (torch.sin((1 - share) * angle) * start + torch.sin(share * angle) * end) / torch.sin(angle)

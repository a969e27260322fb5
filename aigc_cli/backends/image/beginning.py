"""A picture in RGBA to begin with, for pipelines with a UNet, which take four channels for latents and would not encode it.

Their masks are done here too: their inpainting takes such a picture for latents as well, and knows no latents but those of four channels.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from aigc_cli.backends.image.inputs import Canvas
from aigc_cli.backends.image.noise import BatchNoise
from aigc_cli.backends.image.sizes import has_alpha


def encoded(vae: Any, picture: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """In the scale that latents are denoised in. An AutoencoderKL gives a distribution, a tiny one the latents themselves."""
    output = vae.encode(picture)
    latents: torch.Tensor = output.latent_dist.sample(generator) if hasattr(output, "latent_dist") else output.latents
    return latents * float(vae.config.scaling_factor)


def begins_here(pipe: Any) -> bool:
    return has_alpha(pipe) and getattr(pipe, "unet", None) is not None


class Beginning:
    """Stands for prepare_latents of a pipeline that begins with pictures; where a mask is black, every step ends with their latents.

    That is how diffusers inpaints with a model that was not trained to: what stays gets as much noise as the next step expects.
    """

    def __init__(self, pipe: Any, noise: BatchNoise, canvases: Sequence[Canvas]) -> None:
        self.pipe, self.noise = pipe, noise
        masks = [torch.from_numpy(np.array(canvas.mask, np.float32)) / 255 for canvas in canvases if canvas.mask]
        self.masks = torch.stack(masks)[:, None] if masks else None  # (B, 1, H, W), then as large as the latents; 1 is drawn anew
        self.latents, self.first_noise = torch.empty(0), torch.empty(0)
        self.steps_done = 0

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it the pipeline is called once, with a scheduler of its own."""
        scheduler = self.pipe.scheduler
        self.pipe.prepare_latents = self.prepare_latents
        if self.masks is not None:
            scheduler.step = self.keeping_step(scheduler)
        try:
            yield
        finally:
            del self.pipe.__dict__["prepare_latents"]
            scheduler.__dict__.pop("step", None)

    def prepare_latents(
        self,
        image: torch.Tensor,
        timestep: torch.Tensor,
        batch_size: int,
        num_images_per_prompt: int,
        dtype: torch.dtype,
        device: Any,
        generator: Any = None,
        add_noise: bool = True,
    ) -> torch.Tensor:
        """With the signature that Stable Diffusion's and XL's have. image: (B, 4, H, W) from -1 to 1."""
        pictures = zip(image.to(device, dtype), generator, strict=True)
        self.latents = torch.cat([encoded(self.pipe.vae, picture[None], own) for picture, own in pictures])
        self.first_noise = self.noise.randn(self.latents.shape, generator=generator, device=device, dtype=dtype)
        if self.masks is not None:  # what a latent has any part in is drawn anew
            self.masks = F.adaptive_max_pool2d(self.masks, self.latents.shape[2:]).to(device, dtype)
        begun: torch.Tensor = self.pipe.scheduler.add_noise(self.latents, self.first_noise, timestep)
        return begun

    def keeping_step(self, scheduler: Any) -> Any:
        original = scheduler.step

        @functools.wraps(original)  # pipelines look at its signature
        def step(
            model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, *rest: Any, return_dict: bool = True, **options: Any
        ) -> Any:
            output = original(model_output, timestep, sample, *rest, return_dict=True, **options)
            assert self.masks is not None
            kept = self.kept_for_next(scheduler).to(output.prev_sample.dtype)
            output.prev_sample = torch.lerp(kept, output.prev_sample, self.masks.to(output.prev_sample.dtype))
            return output if return_dict else output.to_tuple()

        return step

    def kept_for_next(self, scheduler: Any) -> torch.Tensor:
        """The pictures' latents as the next step expects them, and after the last one as they are."""
        self.steps_done += 1
        times = scheduler.timesteps[len(scheduler.timesteps) - self.pipe.num_timesteps :]  # those before were left out by --strength
        following = times[self.steps_done :][:1]
        return scheduler.add_noise(self.latents, self.first_noise, following) if len(following) else self.latents

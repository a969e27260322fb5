"""What each family's denoiser is called with, as its pipeline's own loop of steps does it."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from aigc_cli.backends.train.image.family import Conditioning

TRAINING_GUIDANCE = 1.0  # told to models that take guidance as a number: that of the pictures themselves, by which nothing is overdone


class Predict(Protocol):
    """Family.predict, with everything in the place and the dtype that the denoiser computes in."""

    def __call__(self, pipeline: Any, noisy: Tensor, timesteps: Tensor, told: Conditioning, sizes: Tensor) -> Tensor: ...


def compute_dtype(network: nn.Module) -> torch.dtype:
    """Of its own weights; adapters beside them may be wider."""
    return next(weight.dtype for name, weight in network.named_parameters() if "lora_" not in name)


def predict_unet(pipeline: Any, noisy: Tensor, timesteps: Tensor, told: Conditioning, sizes: Tensor) -> Tensor:
    prediction: Tensor = pipeline.unet(noisy, timesteps, told["prompt_embeds"], return_dict=False)[0]
    return prediction


def predict_sized_unet(pipeline: Any, noisy: Tensor, timesteps: Tensor, told: Conditioning, sizes: Tensor) -> Tensor:
    """Stable Diffusion XL knows how large a picture was, and where it was cropped."""
    added = {"text_embeds": told["pooled_prompt_embeds"], "time_ids": sizes}
    prediction: Tensor = pipeline.unet(noisy, timesteps, told["prompt_embeds"], added_cond_kwargs=added, return_dict=False)[0]
    return prediction


def predict_mmdit(pipeline: Any, noisy: Tensor, timesteps: Tensor, told: Conditioning, sizes: Tensor) -> Tensor:
    """Stable Diffusion 3."""
    prediction: Tensor = pipeline.transformer(
        hidden_states=noisy,
        timestep=timesteps,
        encoder_hidden_states=told["prompt_embeds"],
        pooled_projections=told["pooled_prompt_embeds"],
        return_dict=False,
    )[0]
    return prediction


def predict_packed(pipeline: Any, noisy: Tensor, timesteps: Tensor, told: Conditioning, sizes: Tensor) -> Tensor:
    """FLUX.1 takes each 2 x 2 latents for a token, and counts time from 0 to 1."""
    count, channels, height, width = noisy.shape
    network, texts = pipeline.transformer, told["prompt_embeds"]
    prediction = network(
        hidden_states=pipeline._pack_latents(noisy, count, channels, height, width),
        timestep=timesteps / 1000,
        guidance=noisy.new_full((count,), TRAINING_GUIDANCE) if network.config.guidance_embeds else None,
        encoder_hidden_states=texts,
        pooled_projections=told["pooled_prompt_embeds"],
        txt_ids=texts.new_zeros(texts.shape[1], 3),
        img_ids=pipeline._prepare_latent_image_ids(count, height // 2, width // 2, noisy.device, noisy.dtype),
        return_dict=False,
    )[0]
    scale = pipeline.vae_scale_factor
    unpacked: Tensor = pipeline._unpack_latents(prediction, height * scale, width * scale, scale)
    return unpacked


def predict_pixart(pipeline: Any, noisy: Tensor, timesteps: Tensor, told: Conditioning, sizes: Tensor) -> Tensor:
    network = pipeline.transformer
    added: dict[str, Tensor | None] = {"resolution": None, "aspect_ratio": None}
    if network.use_additional_conditions:
        height, width = sizes[:, 4:5], sizes[:, 5:6]
        added = {"resolution": sizes[:, 4:6], "aspect_ratio": height / width}
    prediction = network(
        noisy,
        encoder_hidden_states=told["prompt_embeds"],
        encoder_attention_mask=told["prompt_attention_mask"],
        timestep=timesteps,
        added_cond_kwargs=added,
        return_dict=False,
    )[0]
    return without_variance(prediction, noisy)


def predict_sana(pipeline: Any, noisy: Tensor, timesteps: Tensor, told: Conditioning, sizes: Tensor) -> Tensor:
    network = pipeline.transformer
    prediction = network(
        noisy,
        encoder_hidden_states=told["prompt_embeds"],
        encoder_attention_mask=told["prompt_attention_mask"],
        timestep=timesteps * network.config.timestep_scale,
        return_dict=False,
    )[0]
    return without_variance(prediction, noisy)


def without_variance(prediction: Tensor, noisy: Tensor) -> Tensor:
    """The first half of the channels, where the second says how sure the model is: samplers leave that out, and it is not trained."""
    return prediction[:, : noisy.shape[1]]

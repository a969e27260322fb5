"""The families that can be trained, and how a loaded pipeline becomes one of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from aigc_cli.backends.image.facts import call_parameters
from aigc_cli.backends.image.sizes import denoiser, latent_channels, own_size, size_multiple, vae_scale
from aigc_cli.backends.image.text_encoders import encoders
from aigc_cli.backends.train.image import denoisers, text_conditioning
from aigc_cli.backends.train.image.denoisers import Predict, compute_dtype
from aigc_cli.backends.train.image.family import Conditioning, Family
from aigc_cli.backends.train.image.latents import encode
from aigc_cli.backends.train.image.text_conditioning import TextConditioning
from aigc_cli.core.errors import UsageError


@dataclass(frozen=True)
class Kind:
    """pipelines: names of diffusers' classes.  encoders: those it cannot do without."""

    name: str
    pipelines: tuple[str, ...]
    encoders: tuple[str, ...]
    open_text: Callable[[Any], TextConditioning]
    predict: Predict


ONE, TWO = ("text_encoder",), ("text_encoder", "text_encoder_2")
KINDS = (
    Kind("Stable Diffusion 1 and 2", ("StableDiffusionPipeline",), ONE, text_conditioning.ClipText, denoisers.predict_unet),
    Kind("Stable Diffusion XL", ("StableDiffusionXLPipeline",), TWO, text_conditioning.TwoClipTexts, denoisers.predict_sized_unet),
    Kind("Stable Diffusion 3", ("StableDiffusion3Pipeline",), TWO, text_conditioning.ThreeTexts, denoisers.predict_mmdit),
    Kind("FLUX.1", ("FluxPipeline",), TWO, text_conditioning.ClipAndT5, denoisers.predict_packed),
    Kind("PixArt", ("PixArtAlphaPipeline", "PixArtSigmaPipeline"), ONE, text_conditioning.MaskedT5, denoisers.predict_pixart),
    Kind("Sana", ("SanaPipeline",), ONE, text_conditioning.InstructedGemma, denoisers.predict_sana),
)


class PipelineFamily:
    """Implements Family. The text encoders are held on to: those of the pipeline may be given up for drawing."""

    def __init__(self, pipeline: Any, kind: Kind) -> None:
        self.pipeline = pipeline
        self.denoiser: nn.Module = denoiser(pipeline)
        self.text_encoders: Sequence[nn.Module] = tuple(encoders(pipeline).values())
        self.scale, self.multiple = vae_scale(pipeline), size_multiple(pipeline)
        self.channels = int(pipeline.vae.config.in_channels)
        width, height = own_size(pipeline, call_parameters(pipeline))
        self.resolution = round(math.sqrt(width * height))
        self._text, self._predict = kind.open_text(pipeline), kind.predict

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        return encode(self.pipeline.vae, pixels)

    def tokens(self, captions: Sequence[str]) -> Conditioning:
        return self._text.tokens(captions)

    def cut_tokens(self, caption: str) -> int:
        return self._text.cut_tokens(caption)

    def embed(self, tokens: Conditioning) -> Conditioning:
        return self._text.embed(tokens)

    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning, sizes: Tensor) -> Tensor:
        weight = next(self.denoiser.parameters())
        device, dtype = weight.device, compute_dtype(self.denoiser)
        told = {name: value.to(device, dtype) if value.is_floating_point() else value.to(device) for name, value in conditioning.items()}
        wide = torch.float32  # of numbers that are turned into waves
        return self._predict(self.pipeline, noisy.to(device, dtype), timesteps.to(device), told, sizes.to(device, wide))


def open_family(pipeline: Any) -> Family:
    """Raises: UsageError for a pipeline that cannot be trained, in words."""
    name = type(pipeline).__name__.removesuffix("Pipeline")
    classes = {each.__name__ for each in type(pipeline).__mro__}
    kind = next((kind for kind in KINDS if classes & set(kind.pipelines)), None)
    if kind is None:
        raise UsageError(f"a {name} model cannot be trained here", f"what can be: {', '.join(kind.name for kind in KINDS)}")
    if fault := fault_of(pipeline, kind):
        raise UsageError(f"this {name} model cannot be trained: {fault}", "choose the model that it was made from")
    return PipelineFamily(pipeline, kind)


def fault_of(pipeline: Any, kind: Kind) -> str:
    """Why one of a family that can be trained cannot be; empty for one that can."""
    network = denoiser(pipeline)
    config, there = network.config, encoders(pipeline)
    missing = [name for name in kind.encoders if name not in there]
    if missing:
        return f"it has no {missing[0]}"
    if any(getattr(part, "hf_quantizer", None) is not None for part in (network, *there.values())):
        return "its weights are quantised"
    if pipeline.vae.config.in_channels not in (3, 4):
        return f"its autoencoder takes {pipeline.vae.config.in_channels} channels, neither colours (3) nor colours with alpha (4)"
    channels = latent_channels(pipeline)
    packed = 4 * channels if hasattr(pipeline, "_pack_latents") else channels
    if config.in_channels != packed:
        return f"its denoiser takes {config.in_channels} channels, and its autoencoder makes {packed}: it wants more than a picture"
    if config.get("time_cond_proj_dim"):
        return "it was distilled to a few steps, with guidance as an input"
    return ""

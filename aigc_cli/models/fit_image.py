"""Does an image model fit into a device's memory, and by which measure? Pure arithmetic on configs.

The activations are counted as so many copies of the widest tensor that a network works on. How many was measured: the growth
of a process that draws 256 x 256 and 512 x 512 with the shapes of Stable Diffusion 1.5 (whole), Stable Diffusion 3 and FLUX
(fewer layers), random weights, bfloat16 and float32, torch 2.13 on a CPU. The sum came within 20 % of the peak there. What
the kernel keeps of files that are mapped, and takes back when memory is short, is not counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from aigc_cli.core.engine import Dtype
from aigc_cli.models.fit import NUMBER_BYTES, Memory
from aigc_cli.models.pipeline_facts import Config, Part, PipelineFacts, Role

RUNTIME = 640 * 2**20  # bytes: Python with torch, transformers and diffusers, and what kernels set aside for themselves
LEFT_BEHIND = 0.2  # see left_behind()
UNET_COPIES = 24  # of the widest level's activations: block inputs, normed and projected copies, a feed-forward of 8 times the width
DIT_COPIES = 22  # of all tokens: keys, queries, values, both halves of a feed-forward of 4 times the width, norms
VAE_COPIES = 4  # of the last level's activations, which are as large as the picture
TEXT_TOKENS = 512  # that stand beside those of the picture, at most
TILED_FROM = 1536 * 1536  # pixels; larger pictures are decoded in tiles
ONE_AT_A_TIME = ("Flux", "QwenImage", "Chroma")  # pipelines without guidance, or that guide in two passes
QUANTISED = re.compile(r"I?Q\d|TQ\d")  # GGUF's types that stay packed; everything else is turned into the dtype

ROLES: tuple[Role, ...] = ("text encoder", "denoiser", "vae", "other")
Measure = Literal["whole", "text encoders freed", "offload"]


@dataclass(frozen=True)
class Activations:
    """Bytes that one picture takes beside the weights, while the denoiser and while the VAE's decoder work."""

    denoise: int
    decode: int


@dataclass(frozen=True)
class ImageFit:
    """What a model takes on a device in a format for one picture of its own size, in bytes.

    measure: the first that makes it fit, or the last there is.  needs: with that measure, in all, and with what the libraries take.
    """

    device: str
    dtype: str
    free: int
    weights: int
    text_encoders: int
    denoise: int
    decode: int
    measure: Measure
    needs: int
    fits: bool


def activations(facts: PipelineFacts, dtype: Dtype) -> Activations:
    """For a picture of the model's own size."""
    number = NUMBER_BYTES[dtype]
    width, height = facts.own_size
    columns, rows = width // facts.vae_scale, height // facts.vae_scale
    config = facts.config("denoiser")
    numbers = unet_numbers(config, columns, rows) if "block_out_channels" in config else dit_numbers(config, columns * rows, facts)
    pictures = 1 if facts.pipeline.startswith(ONE_AT_A_TIME) else 2  # guidance predicts with the prompt and without
    decoder = facts.config("vae")
    upcasts = dtype == Dtype.FLOAT16 and "XL" in facts.pipeline and decoder.get("force_upcast")  # SDXL's VAE overflows in float16
    decoded = min(width * height, TILED_FROM) * last_channels(decoder) * VAE_COPIES
    return Activations(numbers * pictures * number, decoded * (4 if upcasts else number))


def unet_numbers(config: Config, columns: int, rows: int) -> int:
    """Those of the skip connections, which wait for the way up, and of the level with the most of them."""
    levels = [int(channels) * (columns >> level) * (rows >> level) for level, channels in enumerate(config["block_out_channels"])]
    layers = config.get("layers_per_block") or 2
    skips = 1 + int(layers if isinstance(layers, int) else max(layers))
    return skips * sum(levels) + UNET_COPIES * max(levels)


def dit_numbers(config: Config, latents: int, facts: PipelineFacts) -> int:
    heads, head_width = (int(config.get(name) or 0) for name in ("num_attention_heads", "attention_head_dim"))
    width = heads * head_width or config.get("dim") or config.get("hidden_size") or 0
    return (latents // patch(config, facts) ** 2 + TEXT_TOKENS) * int(width) * DIT_COPIES


def patch(config: Config, facts: PipelineFacts) -> int:
    """Latents that a token stands for, each way; these pipelines pack four into one."""
    if facts.pipeline.startswith(ONE_AT_A_TIME):
        return 2
    sizes = config.get("all_patch_size") or config.get("patch_size") or 1
    return int(max(sizes) if isinstance(sizes, (list, tuple)) else sizes)


def last_channels(config: Config) -> int:
    """Of what enters the decoder's last level, at the picture's full size."""
    if "dim_mult" in config:
        channels: Any = [config["base_dim"] * factor for factor in config["dim_mult"]]
    else:
        channels = config.get("block_out_channels") or config.get("decoder_block_out_channels") or (128, 256)
    return int(channels[1 if len(channels) > 1 else 0])


def fit_image(facts: PipelineFacts, memory: Memory, dtype: str, host_free: int) -> ImageFit:
    """host_free: bytes of main memory, where the parts wait that a GPU does not hold."""
    number = NUMBER_BYTES[Dtype(dtype)]
    work = activations(facts, Dtype(dtype))
    sizes = {role: sum(part_bytes(part, number) for part in facts.parts if part.role == role) for role in ROLES}
    weights, encoders = sum(sizes.values()), sizes["text encoder"]
    peak = max(work.denoise, work.decode)
    needs: dict[Measure, int] = {
        "whole": weights + peak,
        "text encoders freed": max(weights, weights - encoders + peak),
    }
    if memory.device != "cpu" and weights <= host_free:
        needs["offload"] = max(encoders, sizes["denoiser"] + work.denoise, sizes["vae"] + work.decode, sizes["other"])
    runtime = RUNTIME + (left_behind(facts, number) if memory.device == "cpu" and number == 2 else 0)
    enough = [measure for measure in needs if needs[measure] + runtime <= memory.free]
    measure = enough[0] if enough else list(needs)[-1]
    return ImageFit(
        device=memory.device,
        dtype=dtype,
        free=memory.free,
        weights=weights,
        text_encoders=encoders,
        denoise=work.denoise,
        decode=work.decode,
        measure=measure,
        needs=needs[measure] + runtime,
        fits=bool(enough),
    )


def part_bytes(part: Part, number: int) -> int:
    """Of its weights in memory."""
    return part.size if any(map(QUANTISED.match, part.parameters)) else part.count * number


def left_behind(facts: PipelineFacts, number: int) -> int:
    """Bytes that are not given back of what the convolutions' weights took before they got the layout that is faster in 16 bits."""
    return round(LEFT_BEHIND * sum(part_bytes(part, number) for part in facts.parts if part.name in ("unet", "vae")))


def image_fits(facts: PipelineFacts, memories: Iterable[Memory]) -> list[ImageFit]:
    """Every device in every format, the best first."""
    memories = list(memories)
    host_free = next(memory.free for memory in memories if memory.device == "cpu")
    return [fit_image(facts, memory, dtype, host_free) for memory in memories for dtype in memory.dtypes]

"""The sizes that a model draws: its own, and those it can take."""

from __future__ import annotations

import math
from typing import Any

from aigc_cli.core.errors import UsageError
from aigc_cli.core.image import SIDE_LIMIT

TILING_FROM = 1536 * 1536  # pixels: from here on a VAE's activations outgrow the denoiser's
FALLBACK_SIDE = 1024  # of a model that names no size of its own
SMALL_FALLBACK = 8  # pixels of a latent, where a pipeline does not say


def denoiser(pipe: Any) -> Any:
    """The network that takes the noise away."""
    return getattr(pipe, "transformer", None) or pipe.unet


def size_multiple(pipe: Any) -> int:
    """Pixels that width and height must be multiples of: those of a latent times the latents of a patch."""
    return vae_scale(pipe) * patch_size(pipe)


def vae_scale(pipe: Any) -> int:
    return int(getattr(pipe, "vae_scale_factor", SMALL_FALLBACK))


def patch_size(pipe: Any) -> int:
    """Latents that a token covers each way; a pipeline that packs them itself has them as channels."""
    config = denoiser(pipe).config
    sizes = config.get("all_patch_size") or config.get("patch_size") or 1
    packed = math.isqrt(int(config.get("in_channels") or 1) // latent_channels(pipe)) if is_packed(pipe) else 1
    return int(max(packed, *(sizes if isinstance(sizes, (list, tuple)) else (sizes,))))


def is_packed(pipe: Any) -> bool:
    return hasattr(pipe, "_pack_latents")


def latent_channels(pipe: Any) -> int:
    config = pipe.vae.config
    return int(config.get("latent_channels") or config.get("z_dim"))


def has_alpha(pipe: Any) -> bool:
    """Whether it draws in RGBA: its VAE has a fourth channel."""
    return int(pipe.vae.config.get("out_channels") or 3) == 4


def can_tile(pipe: Any) -> bool:
    """Whether its VAE decodes in tiles. AutoencoderTiny's are for three channels and four latents alone (diffusers 0.42)."""
    config = pipe.vae.config
    is_other_tiny = type(pipe.vae).__name__ == "AutoencoderTiny" and (config["out_channels"], config["latent_channels"]) != (3, 4)
    return hasattr(pipe.vae, "enable_tiling") and not is_other_tiny


def own_size(pipe: Any, parameters: dict[str, Any]) -> tuple[int, int]:
    """Width and height that the model was made for. parameters: of the pipeline's call, with their defaults."""
    height, width = parameters.get("height"), parameters.get("width")
    if isinstance(height, int) and isinstance(width, int):
        return width, height
    latents = getattr(pipe, "default_sample_size", None) or denoiser(pipe).config.get("sample_size")
    if not latents:
        return FALLBACK_SIDE, FALLBACK_SIDE
    rows, columns = latents if isinstance(latents, (list, tuple)) else (latents, latents)
    return columns * vae_scale(pipe), rows * vae_scale(pipe)


def rounded(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """The nearest size that the model takes, at least one multiple each way. Raises: UsageError for one beyond the limit."""
    width, height = (max(multiple, multiple * math.floor(side / multiple + 0.5)) for side in size)
    if max(width, height) > SIDE_LIMIT:
        raise UsageError(f"{width} x {height} pixels are too many", f"at most {SIDE_LIMIT} each way")
    return width, height


def grown(size: tuple[int, int], border: int, multiple: int) -> tuple[int, int]:
    """The size with a border on every side, and what is missing to a multiple."""
    width, height = (multiple * math.ceil((side + 2 * border) / multiple) for side in size)
    return rounded((width, height), multiple)


def of_own_area(size: tuple[int, int], own: tuple[int, int]) -> tuple[int, int]:
    """A picture's size, scaled down to as many pixels as the model was made for, if it has more. Keeps its proportions."""
    share = math.sqrt(own[0] * own[1] / (size[0] * size[1]))
    return size if share >= 1 else (round(size[0] * share), round(size[1] * share))

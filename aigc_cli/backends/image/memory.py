"""How much a model draws at a time, where its parts lie, and what is left to do when memory runs out.

Attention slicing is no measure here: torch's own attention never holds the scores of all tokens at once (Dao et al. 2022,
arXiv:2205.14135), and diffusers' slices would take its place with one that does.
"""

from __future__ import annotations

from typing import Any, Literal

from aigc_cli.backends.device import Placement
from aigc_cli.core.errors import UsageError

# "parts" and "layers" lie in main memory and are on the device only while they are used, parts as a whole or layer by layer
Residence = Literal["device", "parts", "layers"]

CPU_PIXELS = 256 * 256  # drawn at a time: a larger batch is no faster there
GPU_PIXELS = 2 * 1024 * 1024
MOST_PICTURES = 16
TILES = (256, 512)  # pixels each way that are decoded at a time when memory is short: a tile must be smaller than the picture


def fitting_batch(placement: Placement, width: int, height: int) -> int:
    """Pictures that are drawn together. One in float32 on a CPU: there a picture in a batch is then the picture alone, bit by bit."""
    if placement.device == "cpu" and placement.dtype == "float32":
        return 1
    pixels = CPU_PIXELS if placement.device == "cpu" else GPU_PIXELS
    return min(max(1, pixels // (width * height)), MOST_PICTURES)


def check_offload(placement: Placement) -> None:
    """Raises: UsageError for a device whose memory is main memory."""
    if not placement.device.startswith("cuda"):
        raise UsageError(f"--offload saves the memory of a GPU: on {placement.device} there is none to save", "leave out --offload")


def place(pipe: Any, device: str, residence: Residence) -> None:
    match residence:
        case "device":
            pipe.to(device)
        case "parts":
            pipe.enable_model_cpu_offload(device=device)
        case "layers":
            pipe.enable_sequential_cpu_offload(device=device)


def decode_in_tiles(vae: Any, side: int) -> None:
    """side: pixels of a tile, where the VAE leaves the choice; others have a size of their own."""
    vae.enable_tiling()
    if hasattr(vae, "tile_sample_min_size"):
        scale = vae.tile_sample_min_size // vae.tile_latent_min_size
        vae.tile_sample_min_size, vae.tile_latent_min_size = side, side // scale

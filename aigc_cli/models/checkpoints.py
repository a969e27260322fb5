"""Which image model a single file holds, told by the names and shapes of its tensors.

The tensors that give a family away are those that diffusers looks for (loaders/single_file_utils.py), so that what passes
here is what it can read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Shapes = Mapping[str, tuple[int, ...]]

PREFIX = "model.diffusion_model."  # before the denoiser's tensors, in a file that holds the other parts too
VAE = ("first_stage_model.", "vae.")  # a file that holds this holds the text encoders too
ADAPTER_MARKS = ("lora_", ".lora", "lora.", "hada_", "lokr_")


@dataclass(frozen=True)
class Checkpoint:
    """family: as people call it.  repo: on the Hub, where its configs, tokenizers and whatever the file lacks are.

    is_whole: text encoders and VAE are in the file too, not only the denoiser.
    """

    family: str
    repo: str
    is_whole: bool


def identify_checkpoint(shapes: Shapes) -> Checkpoint | None:
    """None for tensors of no image model that is known."""
    denoiser = {name.removeprefix(PREFIX): shape for name, shape in shapes.items()}
    for family, repo, fits in FAMILIES:
        if fits(denoiser):
            return Checkpoint(family, repo, is_whole(shapes))
    return None


def is_whole(shapes: Shapes) -> bool:
    """Whether text encoders and VAE are in the file too."""
    return any(name.startswith(VAE) for name in shapes)


def is_adapter(shapes: Shapes) -> bool:
    """Whether this is a LoRA or one of its kin, which goes on top of a model."""
    return any(mark in name for name in shapes for mark in ADAPTER_MARKS)


def has(*names: str) -> Callable[[Shapes], bool]:
    return lambda shapes: all(name in shapes for name in names)


def dimension(name: str, axis: int, size: int) -> Callable[[Shapes], bool]:
    """Whether that tensor is there and has this size along the axis."""
    return lambda shapes: len(shapes.get(name, ())) > max(axis, -axis - 1) and shapes[name][axis] == size


def both(*tests: Callable[[Shapes], bool]) -> Callable[[Shapes], bool]:
    return lambda shapes: all(test(shapes) for test in tests)


UNET_INPUT = "input_blocks.0.0.weight"
SD2 = dimension("input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight", -1, 1024)  # OpenCLIP-H is 1024 wide
SDXL = has("conditioner.embedders.1.model.transformer.resblocks.9.mlp.c_proj.bias")
SD1 = has("output_blocks.11.0.skip_connection.weight")
INPAINTING = dimension(UNET_INPUT, 1, 9)  # latents, masked latents and the mask
SD3 = dimension("joint_blocks.0.context_block.adaLN_modulation.1.bias", -1, 9216)
FLUX = has("double_blocks.0.img_attn.norm.key_norm.scale")
FLUX_PLAIN = dimension("img_in.weight", 1, 64)  # the kinds for filling and for depth maps have more

# the first that fits; a family whose mark is also in another's stands after it
FAMILIES: tuple[tuple[str, str, Callable[[Shapes], bool]], ...] = (
    ("Stable Diffusion 2 inpainting", "stabilityai/stable-diffusion-2-inpainting", both(INPAINTING, SD2)),
    ("SDXL inpainting", "diffusers/stable-diffusion-xl-1.0-inpainting-0.1", both(INPAINTING, SDXL)),
    ("Stable Diffusion 1.5 inpainting", "stable-diffusion-v1-5/stable-diffusion-inpainting", both(INPAINTING, SD1)),
    ("Stable Diffusion 2", "stabilityai/stable-diffusion-2-1", both(SD2, dimension(UNET_INPUT, 1, 4))),
    ("Playground 2.5", "playgroundai/playground-v2.5-1024px-aesthetic", both(SDXL, has("edm_mean"))),
    ("SDXL", "stabilityai/stable-diffusion-xl-base-1.0", SDXL),
    ("Stable Diffusion 1.5", "stable-diffusion-v1-5/stable-diffusion-v1-5", both(SD1, dimension(UNET_INPUT, 1, 4))),
    ("Stable Diffusion 3.5 large", "stabilityai/stable-diffusion-3.5-large", has("joint_blocks.37.x_block.mlp.fc1.weight")),
    ("Stable Diffusion 3.5 medium", "stabilityai/stable-diffusion-3.5-medium", both(SD3, dimension("pos_embed", 1, 147_456))),
    ("Stable Diffusion 3", "stabilityai/stable-diffusion-3-medium-diffusers", both(SD3, dimension("pos_embed", 1, 36_864))),
    ("FLUX.2", "black-forest-labs/FLUX.2-dev", has("single_stream_modulation.lin.weight")),
    ("Chroma", "lodestones/Chroma1-HD", has("distilled_guidance_layer.in_proj.bias")),
    ("FLUX.1 dev", "black-forest-labs/FLUX.1-dev", both(FLUX, FLUX_PLAIN, has("guidance_in.in_layer.bias"))),
    ("FLUX.1 schnell", "black-forest-labs/FLUX.1-schnell", both(FLUX, FLUX_PLAIN)),
    ("Z-Image Turbo", "Tongyi-MAI/Z-Image-Turbo", has("layers.0.adaLN_modulation.0.weight", "cap_embedder.0.weight")),
    ("Qwen-Image", "Qwen/Qwen-Image", has("transformer_blocks.0.img_mod.1.weight", "txt_norm.weight")),
    ("Lumina 2", "Alpha-VLLM/Lumina-Image-2.0", has("cap_embedder.0.weight")),
    ("Sana", "Efficient-Large-Model/Sana_1600M_1024px_diffusers", has("blocks.0.cross_attn.q_linear.weight")),
)

"""The tensors of a tiny Stable Diffusion under the names of its authors' single files, as the well-known checkpoints have them."""

from __future__ import annotations

import re
from typing import Any

import torch

RESNET = (
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("conv_shortcut", "skip_connection"),
)
UNET_ENDS = (
    ("time_embedding.linear_1", "time_embed.0"),
    ("time_embedding.linear_2", "time_embed.2"),
    ("conv_in", "input_blocks.0.0"),
    ("conv_norm_out", "out.0"),
    ("conv_out", "out.2"),
)
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def original_checkpoint(pipe: Any) -> dict[str, torch.Tensor]:
    """Of a pipeline whose UNet has four levels of two blocks, and whose VAE four."""
    tensors = {f"model.diffusion_model.{unet_name(name)}": value for name, value in pipe.unet.state_dict().items()}
    for name, value in pipe.vae.state_dict().items():
        renamed = vae_name(name)
        is_projection = re.search(r"attn_1\.(q|k|v|proj_out)\.weight", renamed)
        tensors[f"first_stage_model.{renamed}"] = value[..., None, None] if is_projection else value
    for name, value in pipe.text_encoder.state_dict().items():
        tensors[f"cond_stage_model.transformer.text_model.{name.removeprefix('text_model.')}"] = value
    return {name: value.contiguous() for name, value in tensors.items()}


def unet_name(name: str) -> str:
    for ours, theirs in UNET_ENDS:
        if name.startswith(f"{ours}."):
            return name.replace(ours, theirs, 1)
    if "resnets" in name:
        for ours, theirs in RESNET:
            name = name.replace(f".{ours}.", f".{theirs}.")
    if match := re.match(r"down_blocks\.(\d)\.(resnets|attentions)\.(\d)\.(.*)", name):
        level, kind, place, rest = match.groups()
        return f"input_blocks.{3 * int(level) + int(place) + 1}.{int(kind == 'attentions')}.{rest}"
    if match := re.match(r"down_blocks\.(\d)\.downsamplers\.0\.conv\.(.*)", name):
        return f"input_blocks.{3 * int(match[1]) + 3}.0.op.{match[2]}"
    if match := re.match(r"up_blocks\.(\d)\.(resnets|attentions)\.(\d)\.(.*)", name):
        level, kind, place, rest = match.groups()
        return f"output_blocks.{3 * int(level) + int(place)}.{int(kind == 'attentions')}.{rest}"
    if match := re.match(r"up_blocks\.(\d)\.upsamplers\.0\.conv\.(.*)", name):
        return f"output_blocks.{3 * int(match[1]) + 2}.{1 if match[1] == '0' else 2}.conv.{match[2]}"
    match = re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", name)
    assert match, name
    return f"middle_block.{1 if match[1] == 'attentions' else 2 * int(match[2])}.{match[3]}"


def vae_name(name: str) -> str:
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets\.(\d)", lambda match: f"up.{3 - int(match[1])}.block.{match[2]}", name)
    name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda match: f"up.{3 - int(match[1])}.upsample", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda match: f"mid.block_{int(match[1]) + 1}", name)
    if "mid_block.attentions.0" in name:
        name = name.replace("mid_block.attentions.0", "mid.attn_1")
        for ours, theirs in VAE_ATTENTION.items():
            name = name.replace(f".{ours}.", f".{theirs}.")
    return name

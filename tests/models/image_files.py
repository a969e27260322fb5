"""Small files in the formats of image models; only their headers and configs are looked at."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

from tests.model_files import safetensors_bytes, text

Shapes = dict[str, tuple[int, ...]]
SD1: Shapes = {
    "model.diffusion_model.output_blocks.11.0.skip_connection.weight": (1,),
    "model.diffusion_model.input_blocks.0.0.weight": (8, 4),
}
WHOLE: Shapes = {"first_stage_model.w": (1,), "cond_stage_model.w": (1,)}
FLUX: Shapes = {"double_blocks.0.img_attn.norm.key_norm.scale": (1,), "img_in.weight": (8, 64)}


def safetensors_of(shapes: Shapes, **metadata: str) -> bytes:
    tensors: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 4 * math.prod(shape)
        tensors[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, end]}
    header = json.dumps(tensors).encode()
    return struct.pack("<Q", len(header)) + header + b"\0" * end


def gguf_of(architecture: str, shapes: Shapes) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), 1) + text("general.architecture") + struct.pack("<I", 8) + text(architecture)
    for name, shape in shapes.items():
        head += text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape)) + struct.pack("<IQ", 0, 0)
    return head + b"\0" * 4096


def pipeline_files(**parts: Any) -> dict[str, bytes]:
    """The files of a pipeline's folder; None takes a part out of the index."""
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": "0.42.0",
        "scheduler": ["diffusers", "PNDMScheduler"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "safety_checker": [None, None],
    } | parts
    return {
        "model_index.json": json.dumps({name: value for name, value in index.items() if value is not None}).encode(),
        "scheduler/scheduler_config.json": b"{}",
        "tokenizer/vocab.json": b"{}",
        "unet/config.json": b'{"sample_size": 64, "block_out_channels": [32, 64], "layers_per_block": 2}',
        "unet/diffusion_pytorch_model.safetensors": safetensors_bytes(),
        "text_encoder/config.json": b"{}",
        "text_encoder/model.safetensors": safetensors_bytes(),
    }

"""The parts of a new pipeline: made with random weights, or tried out without any."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.schedulers.scheduling_utils import KarrasDiffusionSchedulers
from transformers import CLIPTextConfig, CLIPTextModel

from aigc_cli.backends.image.load import be_quiet
from aigc_cli.backends.torch_load import reason
from aigc_cli.core.errors import AigcError, ModelError, UsageError

KINDS = {  # what a part can be, by its name in the pipeline
    "text_encoder": {"CLIPTextModel": CLIPTextModel},
    "vae": {name: getattr(diffusers, name) for name in ("AutoencoderTiny", "AutoencoderKL")},
    "unet": {"UNet2DConditionModel": diffusers.UNet2DConditionModel},
    "scheduler": {kind.name: getattr(diffusers, kind.name) for kind in KarrasDiffusionSchedulers},
}
OF_SCHEDULER = {"steps_offset": 1, "clip_sample": False}  # as StableDiffusionPipeline has them, whatever it is given


@dataclass(frozen=True)
class Part:
    """A part of the pipeline: its class, and what its config says."""

    kind: Any
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class CaptionTokenizer:
    """vocab_size: at most.  max_length: tokens of a caption, begin and end among them."""

    vocab_size: int
    max_length: int = 77


@dataclass(frozen=True)
class Parts:
    """By their names in the pipeline."""

    text_encoder: Any
    vae: Any
    unet: Any
    scheduler: Any

    @property
    def scale(self) -> int:
        """Pixels that a latent stands for each way."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def side(self) -> int:
        """Of the pictures that the pipeline is made for, in pixels."""
        return int(self.unet.config.sample_size * self.scale)


def make_parts(parts: Mapping[str, Part], tokenizer: CaptionTokenizer, vae: Any | None) -> Parts:
    """Weights as each class draws them, in this order. vae: one that is there, where the parts have none.

    Raises: UsageError with what a class says of its fields.
    """
    be_quiet()
    made = {name: make_part(name, part, tokenizer) for name, part in parts.items()}
    return Parts(**made, **({} if vae is None else {"vae": vae}))


def make_part(name: str, part: Part, tokenizer: CaptionTokenizer) -> Any:
    try:
        if name == "scheduler":
            with torch.device("cpu"):  # it has no weights, and computes with numbers of its own at once
                return part.kind(**part.fields, **demanded(part))
        if part.kind is CLIPTextModel:
            return CLIPTextModel(text_config(part, tokenizer))
        return part.kind(**part.fields)
    except AigcError:
        raise
    except Exception as error:  # each class checks its sizes here and there, and raises almost anything
        raise UsageError(f"no {part.kind.__name__} can be made of [{name}]: {reason(error)}", "correct its fields") from error


def demanded(part: Part) -> dict[str, Any]:
    """What the pipeline would set in its scheduler without a word. Raises: UsageError where the fields say otherwise."""
    known = inspect.signature(part.kind.__init__).parameters
    demands = {field: value for field, value in OF_SCHEDULER.items() if field in known}
    for field, value in demands.items():
        if part.fields.get(field, value) != value:
            message = f"[scheduler] {field} is {part.fields[field]}, and the pipeline would make it {value}"
            raise UsageError(message, "leave it out")
    return demands


def text_config(part: Part, tokenizer: CaptionTokenizer) -> CLIPTextConfig:
    """The last two tokens of the vocabulary begin and end a caption, as in CLIP's own."""
    last = tokenizer.vocab_size - 1
    return CLIPTextConfig(
        **{"projection_dim": part.fields.get("hidden_size", CLIPTextConfig.hidden_size), **part.fields},
        vocab_size=tokenizer.vocab_size,
        max_position_embeddings=tokenizer.max_length,
        bos_token_id=last - 1,
        eos_token_id=last,
        pad_token_id=last,
    )


def open_autoencoder(folder: Path, *, with_weights: bool) -> Any:
    """Raises: ModelError."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        kind = KINDS["vae"][config["_class_name"]]
        return kind.from_pretrained(str(folder), local_files_only=True) if with_weights else kind.from_config(config)
    except KeyError:
        raise ModelError(f"what lies in {folder} is no {' or '.join(KINDS['vae'])}", "[vae] path names an autoencoder's folder") from None
    except Exception as error:  # for a file that is odd, diffusers raises almost anything
        raise ModelError(f"the autoencoder in {folder} cannot be loaded: {reason(error)}", "[vae] path names its folder") from error


def check_fit(path: Path, parts: Parts, tokenizer: CaptionTokenizer) -> None:
    """A picture and a caption sent through the parts, which are on `meta`: only their sizes are known.

    Raises: UsageError where one part does not take what another gives.
    """
    vae, unet, encoder = parts.vae.config, parts.unet.config, parts.text_encoder.config
    if not isinstance(unet.sample_size, int):
        raise UsageError(f"{path}: [unet] has no sample_size", "it is the side of its latents, such as 16")
    for field in ("in_channels", "out_channels"):
        if unet[field] != vae.latent_channels:
            message = f"{path}: [unet] {field} is {unet[field]}, and [vae] latent_channels {vae.latent_channels}"
            raise UsageError(message, "both count the channels of a latent: make them equal")
    if vae.in_channels != vae.out_channels or vae.in_channels not in (3, 4):
        message = f"{path}: [vae] in_channels is {vae.in_channels}, and out_channels {vae.out_channels}"
        raise UsageError(message, "both are 3 (red, green, blue), or 4 with transparency")
    if unet.cross_attention_dim != encoder.hidden_size:
        message = f"{path}: [unet] cross_attention_dim is {unet.cross_attention_dim}, and [text_encoder] hidden_size {encoder.hidden_size}"
        raise UsageError(message, "the one reads what the other writes: make them equal")
    with torch.device("meta"), torch.no_grad():
        pixels = torch.zeros(1, vae.in_channels, parts.side, parts.side)
        latents = tried(path, "vae", lambda: mode_of(parts.vae, pixels))
        if latents.shape[-1] != unet.sample_size:
            message = (
                f"{path}: [vae] makes {latents.shape[-1]} latents of {parts.side} pixels, and [unet] sample_size is {unet.sample_size}"
            )
            raise UsageError(message, "encoder_block_out_channels and decoder_block_out_channels want equally many blocks")
        tried(path, "vae", lambda: parts.vae.decode(latents).sample)
        tokens = torch.zeros(1, tokenizer.max_length, dtype=torch.long)
        states = tried(path, "text_encoder", lambda: parts.text_encoder(tokens).last_hidden_state)
        tried(path, "unet", lambda: parts.unet(latents, torch.zeros(1), states).sample)


def tried(path: Path, table: str, forward: Any) -> Any:
    try:
        return forward()
    except Exception as error:  # torch says it of the matrices
        raise UsageError(f"{path}: the sizes in [{table}] do not fit together: {reason(error)}", "correct them") from error


def mode_of(vae: Any, pixels: torch.Tensor) -> torch.Tensor:
    """The likeliest latents."""
    encoded = vae.encode(pixels)
    latents: torch.Tensor = encoded.latents if hasattr(encoded, "latents") else encoded.latent_dist.mode()
    return latents

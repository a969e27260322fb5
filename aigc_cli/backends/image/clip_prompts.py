"""Prompts -> what CLIP's text encoders make of them, of any length and with weights (Stable Diffusion 1, 2 and XL).

CLIP reads 77 tokens, two of them its marks of beginning and end. A longer prompt is cut into chunks of 75 tokens, each encoded for
itself, and their embeddings stand one after the other, as in A1111: the denoiser attends to any number of them. Where the cuts fall
A1111 looks for a comma to cut at; here each chunk is full.

A weight moves the embedding of its token away from what an empty prompt has in that place, or towards it:
z' = z_empty + weight * (z - z_empty), as in ComfyUI. A1111 multiplies z and then restores its mean, which divides by nearly 0 for
some encoders.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from aigc_cli.backends.image.prompt_weights import parse
from aigc_cli.backends.image.text_encoders import kind_of
from aigc_cli.core.errors import UsageError

Token = tuple[int, float]  # its number in the vocabulary, and its weight
MARKS = 2  # the tokens of beginning and end in each chunk


@dataclass(frozen=True)
class ClipEncoder:
    """is_xl: trained on the last layer but one, not normalised, as Stable Diffusion XL was."""

    tokenizer: Any
    model: Any
    is_xl: bool

    @property
    def length(self) -> int:
        return int(min(self.tokenizer.model_max_length, self.model.config.max_position_embeddings))

    @property
    def layers(self) -> int:
        return int(self.model.config.num_hidden_layers)


def clip_encoders(pipe: Any) -> tuple[ClipEncoder, ...]:
    """Those of a pipeline that has no others; empty for one that has, or that masks their padding."""
    parts = pipe.components
    models = [parts.get(name) for name in ("text_encoder", "text_encoder_2")]
    tokenizers = [parts.get(name) for name in ("tokenizer", "tokenizer_2")]
    found = [pair for pair in zip(tokenizers, models, strict=True) if None not in pair]
    are_clip = all(kind_of(model).startswith("CLIPTextModel") for _, model in found)
    are_masked = any(getattr(model.config, "use_attention_mask", False) for _, model in found if are_clip)
    if not are_clip or are_masked or "unet" not in parts or "text_encoder_3" in parts:
        return ()
    return tuple(ClipEncoder(tokenizer, model, is_xl="text_encoder_2" in parts) for tokenizer, model in found)


def check_clip_skip(encoders: tuple[ClipEncoder, ...], clip_skip: int) -> None:
    """Raises: UsageError where no layer would be left."""
    most = min(encoder.layers - 1 - encoder.is_xl for encoder in encoders)
    if clip_skip > most:
        raise UsageError(f"--clip-skip {clip_skip} leaves no layer of this model's text encoder", f"at most --clip-skip {most}")


def weighted_tokens(pipe: Any, encoder: ClipEncoder, prompt: str) -> list[Token]:
    """A textual inversion of several vectors is one word in the prompt and several tokens here."""
    tokens: list[Token] = []
    for fragment in parse(prompt):
        text = pipe.maybe_convert_prompt(fragment.text, encoder.tokenizer) if hasattr(pipe, "maybe_convert_prompt") else fragment.text
        ids = encoder.tokenizer(text, add_special_tokens=False).input_ids
        tokens += [(number, fragment.weight) for number in ids]
    return tokens


def chunk_count(pipe: Any, encoders: tuple[ClipEncoder, ...], prompts: tuple[str, ...]) -> int:
    """How many chunks the longest of the prompts takes, at least one."""
    chunks = [
        math.ceil(len(weighted_tokens(pipe, encoder, prompt)) / (encoder.length - MARKS))
        for prompt in dict.fromkeys(prompts)
        for encoder in encoders
    ]
    return max(1, *chunks)


def encode_clip(pipe: Any, encoders: tuple[ClipEncoder, ...], prompt: str, clip_skip: int, chunks: int) -> dict[str, torch.Tensor]:
    """prompt_embeds (1, chunks * 77, D), filled up with empty chunks; for XL pooled_prompt_embeds (1, P) of the first chunk."""
    widths = []
    pooled = None
    for encoder in encoders:
        tokens, room = weighted_tokens(pipe, encoder, prompt), encoder.length - MARKS
        places = range(0, chunks * room, room)
        encoded = [encode_chunk(encoder, tokens[place : place + room], clip_skip, pipe._execution_device) for place in places]
        widths.append(torch.cat([embeds for embeds, _ in encoded], dim=1))
        pooled = encoded[0][1]
    arguments = {"prompt_embeds": torch.cat(widths, dim=-1)}
    if encoders[-1].is_xl:
        assert pooled is not None
        arguments["pooled_prompt_embeds"] = pooled
    return arguments


def encode_chunk(encoder: ClipEncoder, chunk: list[Token], clip_skip: int, device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings (1, 77, D), and pooled ones (1, P)."""
    embeds, pooled = run_encoder(encoder, [number for number, _ in chunk], clip_skip, device)
    if all(weight == 1.0 for _, weight in chunk):
        return embeds, pooled
    empty, _ = run_encoder(encoder, [], clip_skip, device)
    padding = encoder.length - MARKS - len(chunk)
    weights = torch.tensor([1.0, *(weight for _, weight in chunk), 1.0, *[1.0] * padding], device=embeds.device)[:, None]
    moved = torch.lerp(empty.float(), embeds.float(), weights).to(embeds.dtype)
    return torch.where(weights == 1.0, embeds, moved), pooled


def run_encoder(encoder: ClipEncoder, numbers: list[int], clip_skip: int, device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    tokenizer, model = encoder.tokenizer, encoder.model
    padding = [tokenizer.pad_token_id] * (encoder.length - MARKS - len(numbers))
    ids = torch.tensor([[tokenizer.bos_token_id, *numbers, tokenizer.eos_token_id, *padding]], device=device)
    output = model(ids, output_hidden_states=True)
    if encoder.is_xl:
        return output.hidden_states[-(clip_skip + 2)], output[0]
    if not clip_skip:
        return output.last_hidden_state, output[1]
    normalise = getattr(model, "text_model", model).final_layer_norm
    return normalise(output.hidden_states[-(clip_skip + 1)]), output[1]

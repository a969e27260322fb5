"""Captions -> token ids -> what the denoiser is told, for each family as its pipeline's own `encode_prompt` does it.

Apart in two steps, so that text encoders can be trained, and so that what frozen ones say can be kept. Tokens are those of the
caption as it stands: brackets are no weights here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from aigc_cli.backends.image.facts import call_parameters
from aigc_cli.backends.train.image.family import Conditioning

TOKEN_IDS = "input_ids"  # every family's tokens have them


class TextConditioning(Protocol):
    """The methods of Family that are about captions; there they are explained."""

    def tokens(self, captions: Sequence[str]) -> Conditioning: ...

    def cut_tokens(self, caption: str) -> int: ...

    def embed(self, tokens: Conditioning) -> Conditioning: ...


@dataclass(frozen=True)
class Reader:
    """A text encoder with its tokenizer. length: tokens it reads, to which all captions are filled up."""

    tokenizer: Any
    encoder: Any
    length: int

    def read(self, captions: Sequence[str]) -> Any:
        return self.tokenizer(list(captions), padding="max_length", max_length=self.length, truncation=True, return_tensors="pt")

    def ids(self, captions: Sequence[str]) -> Tensor:
        """(N, length)"""
        ids: Tensor = self.read(captions).input_ids
        return ids

    def encode(self, ids: Tensor, mask: Tensor | None = None, *, hidden_states: bool = False) -> Any:
        options = {} if mask is None else {"attention_mask": mask.to(self.encoder.device)}
        return self.encoder(ids.to(self.encoder.device), output_hidden_states=hidden_states, **options)

    def cut(self, caption: str) -> int:
        return max(0, len(self.tokenizer(caption).input_ids) - self.length)


class ClipText:
    """Stable Diffusion 1 and 2: one encoder's last layer."""

    def __init__(self, pipeline: Any) -> None:
        self.reader = Reader(pipeline.tokenizer, pipeline.text_encoder, pipeline.tokenizer.model_max_length)
        self.is_masked = bool(getattr(pipeline.text_encoder.config, "use_attention_mask", False))

    def tokens(self, captions: Sequence[str]) -> Conditioning:
        read = self.reader.read(captions)
        return {TOKEN_IDS: read.input_ids} | ({"attention_mask": read.attention_mask} if self.is_masked else {})

    def cut_tokens(self, caption: str) -> int:
        return self.reader.cut(caption)

    def embed(self, tokens: Conditioning) -> Conditioning:
        return {"prompt_embeds": self.reader.encode(tokens[TOKEN_IDS], tokens.get("attention_mask"))[0]}


class TwoClipTexts:
    """Stable Diffusion XL: the last layer but one of two encoders side by side, and the second one's pooled embedding.

    Where the pipeline guides away from zeros, they are what an empty caption becomes.
    """

    def __init__(self, pipeline: Any) -> None:
        pairs = ((pipeline.tokenizer, pipeline.text_encoder), (pipeline.tokenizer_2, pipeline.text_encoder_2))
        self.readers = [Reader(tokenizer, encoder, tokenizer.model_max_length) for tokenizer, encoder in pairs]
        self.empty_is_zero = bool(pipeline.config.get("force_zeros_for_empty_prompt"))

    def tokens(self, captions: Sequence[str]) -> Conditioning:
        first, second = (reader.ids(captions) for reader in self.readers)
        says = torch.tensor([1.0 if caption or not self.empty_is_zero else 0.0 for caption in captions])
        return {TOKEN_IDS: first, "input_ids_2": second, "says": says}

    def cut_tokens(self, caption: str) -> int:
        return min(reader.cut(caption) for reader in self.readers)

    def embed(self, tokens: Conditioning) -> Conditioning:
        outputs = [
            reader.encode(tokens[name], hidden_states=True) for reader, name in zip(self.readers, (TOKEN_IDS, "input_ids_2"), strict=True)
        ]
        states = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
        pooled = outputs[-1].text_embeds
        says = tokens["says"].to(pooled.device, pooled.dtype)
        return {"prompt_embeds": states * says[:, None, None], "pooled_prompt_embeds": pooled * says[:, None]}


class ThreeTexts:
    """Stable Diffusion 3: two CLIP encoders side by side, and behind them T5's tokens, or zeros where there is no T5."""

    def __init__(self, pipeline: Any) -> None:
        clip = ((pipeline.tokenizer, pipeline.text_encoder), (pipeline.tokenizer_2, pipeline.text_encoder_2))
        self.clip = [Reader(tokenizer, encoder, pipeline.tokenizer_max_length) for tokenizer, encoder in clip]
        self.t5_length = int(call_parameters(pipeline)["max_sequence_length"])
        has_t5 = pipeline.text_encoder_3 is not None
        self.t5 = Reader(pipeline.tokenizer_3, pipeline.text_encoder_3, self.t5_length) if has_t5 else None
        self.width = int(pipeline.transformer.config.joint_attention_dim)

    def tokens(self, captions: Sequence[str]) -> Conditioning:
        first, second = (reader.ids(captions) for reader in self.clip)
        return {TOKEN_IDS: first, "input_ids_2": second} | ({"input_ids_3": self.t5.ids(captions)} if self.t5 else {})

    def cut_tokens(self, caption: str) -> int:
        return min(reader.cut(caption) for reader in (*self.clip, *([self.t5] if self.t5 else [])))

    def embed(self, tokens: Conditioning) -> Conditioning:
        outputs = [
            reader.encode(tokens[name], hidden_states=True) for reader, name in zip(self.clip, (TOKEN_IDS, "input_ids_2"), strict=True)
        ]
        clip = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
        t5 = self.t5.encode(tokens["input_ids_3"])[0] if self.t5 else clip.new_zeros(len(clip), self.t5_length, self.width)
        clip = functional.pad(clip, (0, t5.shape[-1] - clip.shape[-1]))
        pooled = torch.cat([output.text_embeds for output in outputs], dim=-1)
        return {"prompt_embeds": torch.cat([clip, t5.to(clip.dtype)], dim=1), "pooled_prompt_embeds": pooled}


class ClipAndT5:
    """FLUX.1: T5's tokens, and CLIP's pooled embedding."""

    def __init__(self, pipeline: Any) -> None:
        self.clip = Reader(pipeline.tokenizer, pipeline.text_encoder, pipeline.tokenizer_max_length)
        self.t5 = Reader(pipeline.tokenizer_2, pipeline.text_encoder_2, int(call_parameters(pipeline)["max_sequence_length"]))

    def tokens(self, captions: Sequence[str]) -> Conditioning:
        return {TOKEN_IDS: self.clip.ids(captions), "input_ids_2": self.t5.ids(captions)}

    def cut_tokens(self, caption: str) -> int:
        return min(self.clip.cut(caption), self.t5.cut(caption))

    def embed(self, tokens: Conditioning) -> Conditioning:
        pooled = self.clip.encode(tokens[TOKEN_IDS]).pooler_output
        return {"prompt_embeds": self.t5.encode(tokens["input_ids_2"])[0], "pooled_prompt_embeds": pooled}


class MaskedT5:
    """PixArt: T5's tokens, and which of them are the caption's. The pipeline writes captions in small letters."""

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline
        self.reader = Reader(pipeline.tokenizer, pipeline.text_encoder, int(call_parameters(pipeline)["max_sequence_length"]))

    def tokens(self, captions: Sequence[str]) -> Conditioning:
        read = self.reader.read(self.pipeline._text_preprocessing(list(captions)))
        return {TOKEN_IDS: read.input_ids, "attention_mask": read.attention_mask}

    def cut_tokens(self, caption: str) -> int:
        return self.reader.cut(self.pipeline._text_preprocessing([caption])[0])

    def embed(self, tokens: Conditioning) -> Conditioning:
        mask = tokens["attention_mask"]
        return {"prompt_embeds": self.reader.encode(tokens[TOKEN_IDS], mask)[0], "prompt_attention_mask": mask}


class InstructedGemma:
    """Sana: a caption stands behind an instruction to a language model, of which the first token is kept; an empty one without it."""

    def __init__(self, pipeline: Any) -> None:
        defaults = call_parameters(pipeline)
        self.pipeline, self.kept = pipeline, int(defaults["max_sequence_length"])
        self.instruction = "\n".join(defaults["complex_human_instruction"] or ())
        instruction_length = len(pipeline.tokenizer.encode(self.instruction)) - 2 if self.instruction else 0  # as the pipeline counts
        self.reader = Reader(pipeline.tokenizer, pipeline.text_encoder, instruction_length + self.kept)
        pipeline.tokenizer.padding_side = "right"

    def tokens(self, captions: Sequence[str]) -> Conditioning:
        read = self.reader.read([self._written(caption) for caption in captions])
        ends = [self.reader.length if caption else self.kept for caption in captions]
        places = torch.tensor([[0, *range(end - self.kept + 1, end)] for end in ends])
        return {TOKEN_IDS: read.input_ids, "attention_mask": read.attention_mask, "places": places}

    def cut_tokens(self, caption: str) -> int:
        return self.reader.cut(self._written(caption))

    def embed(self, tokens: Conditioning) -> Conditioning:
        mask, places = tokens["attention_mask"], tokens["places"]
        states: Tensor = self.reader.encode(tokens[TOKEN_IDS], mask)[0]
        kept = places.to(states.device)[:, :, None].expand(-1, -1, states.shape[-1])
        return {"prompt_embeds": states.gather(1, kept), "prompt_attention_mask": mask.gather(1, places)}

    def _written(self, caption: str) -> str:
        written = self.pipeline._text_preprocessing([caption])[0]
        return f"{self.instruction}{written}" if caption else written

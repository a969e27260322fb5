"""How well a picture fits its prompt, and how pleasing it is, by CLIP's embeddings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

from aigc_cli.backends.device import Placement
from aigc_cli.backends.torch_load import memory_errors, reason
from aigc_cli.core.errors import AigcError, ModelError
from aigc_cli.core.image import Pixels
from aigc_cli.pictures.alpha import WHITE, image_of, laid_on

OUT_OF_MEMORY_HINT = "score with a smaller CLIP, or leave out --score"
SHOWN = 60  # characters of the text that is not read
WEIGHT = re.compile(r"(\d+)\.weight$")


class ClipScorer:
    """A CLIP (Radford et al. 2021, arXiv:2103.00020) that compares pictures with prompts.

    Raises, when opened: ModelError for a folder that holds none, OutOfMemoryError.
    """

    def __init__(self, folder: Path, placement: Placement) -> None:
        try:
            with memory_errors(placement.device, OUT_OF_MEMORY_HINT):
                options: dict[str, Any] = {"local_files_only": True}
                model: Any = CLIPModel.from_pretrained(folder, dtype=getattr(torch, placement.dtype), use_safetensors=True, **options)
                self.model = model.eval().to(placement.device)
                self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, **options)
                self.processor: Any = CLIPImageProcessorPil.from_pretrained(folder, **options)
        except AigcError:
            raise
        except Exception as error:  # transformers raises almost anything for a file it does not know
            raise ModelError(f"{folder} cannot be read as a CLIP: {reason(error)}", "one is openai/clip-vit-large-patch14") from error
        self.device = placement.device

    def score(self, pictures: Sequence[Pixels], prompts: Sequence[str]) -> list[float]:
        """Cosine similarity of each picture and its prompt, from -1 to 1; what fits well has 0.3 or so. See `unread` for long prompts."""
        texts = dict.fromkeys(prompts)
        with memory_errors(self.device, OUT_OF_MEMORY_HINT):
            embeds = dict(zip(texts, self.embed_texts(list(texts)), strict=True))
            seen = self.embed_pictures(pictures)
        return [float(torch.dot(picture, embeds[prompt])) for picture, prompt in zip(seen, prompts, strict=True)]

    def unread(self, prompt: str) -> str:
        """The end of a prompt that CLIP does not read, past its 77 tokens; empty where it reads all."""
        room = self.length - 2  # its marks of beginning and end
        encoded = self.tokenizer(prompt, add_special_tokens=False, return_offsets_mapping=True)
        return prompt[encoded.offset_mapping[room][0] :] if len(encoded.input_ids) > room else ""

    def remark(self, prompt: str) -> str | None:
        """In words what of a prompt does not count."""
        lost = self.unread(prompt)
        shown = lost if len(lost) <= SHOWN else f"{lost[:SHOWN]}..."
        return f"CLIP reads {self.length} tokens: the score leaves out {shown!r}" if lost else None

    @property
    def length(self) -> int:
        return int(self.model.config.text_config.max_position_embeddings)

    @torch.no_grad()
    def embed_texts(self, prompts: list[str]) -> list[torch.Tensor]:
        """Of length 1, in float32 on the CPU; each computed alone."""
        embeds = []
        for prompt in prompts:
            inputs = self.tokenizer([prompt], truncation=True, max_length=self.length, return_tensors="pt").to(self.device)
            embeds.append(normalised(self.model.get_text_features(**inputs).pooler_output)[0])
        return embeds

    @torch.no_grad()
    def embed_pictures(self, pictures: Sequence[Pixels]) -> list[torch.Tensor]:
        """Of length 1, in float32 on the CPU; each computed alone, and seen on white where it is transparent."""
        embeds = []
        for picture in pictures:
            image = laid_on(image_of(picture), WHITE)
            values = self.processor(images=[image], return_tensors="pt").pixel_values.to(self.device, self.model.dtype)
            embeds.append(normalised(self.model.get_image_features(pixel_values=values).pooler_output)[0])
        return embeds


def normalised(embeds: torch.Tensor) -> torch.Tensor:
    return F.normalize(embeds.float().cpu(), dim=-1)


class AestheticHead:
    """How pleasing a picture is: one or several linear layers on CLIP's embeddings of pictures, as LAION's predictors have them.

    Nothing stands between the layers (their dropout is for training only).
    Raises, when opened: ModelError for a file that holds something else, or is for a CLIP of another width.
    """

    def __init__(self, path: Path, scorer: ClipScorer) -> None:
        self.scorer = scorer
        self.layers = read_layers(path)
        width, wanted = int(self.layers[0][0].shape[1]), int(scorer.model.config.projection_dim)
        if width != wanted:
            raise ModelError(
                f"the aesthetic head {path} reads embeddings of {width} numbers, this CLIP's have {wanted}", "name its own CLIP"
            )

    def score(self, pictures: Sequence[Pixels]) -> list[float]:
        """From 1 to 10 or so, as the head was trained."""
        scores = []
        with memory_errors(self.scorer.device, OUT_OF_MEMORY_HINT):
            seen = self.scorer.embed_pictures(pictures)
        for embeds in seen:
            for weight, bias in self.layers:
                embeds = F.linear(embeds, weight, bias)
            scores.append(float(embeds))
        return scores


def read_layers(path: Path) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
    """(weight, bias) of each layer in order: of one without a number, or of those numbered as torch's Sequential does."""
    try:
        tensors = {name: tensor.float() for name, tensor in load_file(path).items()}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read: {reason(error)}", "name an aesthetic head in safetensors") from error
    names = sorted((name for name in tensors if name.endswith("weight")), key=place)
    layers = [(tensors[name], tensors.get(f"{name.removesuffix('weight')}bias")) for name in names]
    widths = [tuple(weight.shape) for weight, _ in layers]
    fits = all(len(shape) == 2 for shape in widths) and all(before[0] == after[1] for before, after in pairwise(widths))
    if not layers or not fits or widths[-1][0] != 1:
        raise ModelError(f"{path} holds no aesthetic head", "it has linear layers that end in one number")
    return layers


def place(name: str) -> int:
    found = WEIGHT.search(name)
    return int(found[1]) if found else 0

"""Prompts -> what a pipeline is called with for them: embeddings, each computed once."""

from __future__ import annotations

import functools
import inspect
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from aigc_cli.backends.image.clip_prompts import check_clip_skip, chunk_count, clip_encoders, encode_clip
from aigc_cli.backends.image.facts import call_parameters
from aigc_cli.core.image import ImageRequest

KEPT = 2**30  # bytes; one prompt takes 4 MB in FLUX.1's two encoders
Embeds = dict[str, Any]  # for one prompt, by the names of the pipeline's parameters without "negative_"


@dataclass(frozen=True)
class Family:
    """How pipelines of this name encode. returns: what `encode_prompt` gives back, by the names of the call's parameters.

    marks: tokens of the limit that are not the prompt's; None for as many as the tokenizer adds by itself.  is_chat: they are those of
    the tokenizer's chat template.  blank: what an empty negative prompt is encoded as.
    """

    name: str
    returns: tuple[str, ...]
    is_chat: bool = False
    marks: int | None = None
    blank: str = ""


MASKED = ("prompt_embeds", "prompt_attention_mask", "negative_prompt_embeds", "negative_prompt_attention_mask")
FAMILIES = (
    Family("StableDiffusion3", ("prompt_embeds", "negative_prompt_embeds", "pooled_prompt_embeds", "negative_pooled_prompt_embeds")),
    Family("Flux2", ("prompt_embeds",), is_chat=True),
    Family("Flux", ("prompt_embeds", "pooled_prompt_embeds")),
    Family("PixArt", MASKED),
    Family("Sana", MASKED, marks=2),
    Family("ZImage", ("prompt_embeds", "negative_prompt_embeds"), is_chat=True),
    Family("QwenImage", ("prompt_embeds", "prompt_embeds_mask"), blank=" "),
)


@dataclass(frozen=True)
class PromptKey:
    """All that a prompt's embeddings depend on. chunks: of 75 tokens that a CLIP prompt is filled up to."""

    text: str
    is_negative: bool
    clip_skip: int
    chunks: int


class PromptCache:
    """Embeddings of one model's prompts, in main memory, so that equal prompts are encoded once. limit: bytes.

    Past the limit those go that were used least recently, but never the only one.  is_full: it came to that.
    """

    def __init__(self, limit: int = KEPT) -> None:
        self.limit, self.size, self.is_full = limit, 0, False
        self.entries: OrderedDict[PromptKey, Embeds] = OrderedDict()

    def get(self, key: PromptKey, make: Callable[[], Embeds]) -> Embeds:
        if key not in self.entries:
            self.entries[key] = {name: in_main_memory(value) for name, value in make().items()}
            self.size += bytes_of(self.entries[key])
        self.entries.move_to_end(key)
        self.is_full = self.is_full or self.size > self.limit
        while self.size > self.limit and len(self.entries) > 1:
            self.size -= bytes_of(self.entries.popitem(last=False)[1])
        return self.entries[key]


def in_main_memory(value: Any) -> Any:
    return [tensor.cpu() for tensor in value] if isinstance(value, list) else value.cpu()


def bytes_of(embeds: Embeds) -> int:
    tensors = [tensor for value in embeds.values() for tensor in (value if isinstance(value, list) else [value])]
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors)


def encode(pipe: Any, requests: Sequence[ImageRequest], cache: PromptCache, *, guided: bool) -> dict[str, Any]:
    """Arguments of the pipeline's call, for requests of one kind. guided: whether a second prediction is made.

    Each prompt is encoded alone, so that what else is in the batch changes nothing. A pipeline whose ways are not known here gets the
    prompts themselves.  Raises: UsageError for a --clip-skip that leaves no layer; ValueError for a prompt that is not in the cache of
    a model whose encoders were given up.
    """
    parameters = call_parameters(pipe)
    if not encodes_here(pipe):
        return plain_arguments(requests, parameters)
    arguments: dict[str, Any] = {"negative_prompt": None}  # some have "", which is one too many
    for is_negative, keys in prompt_keys(pipe, requests, guided=guided).items():
        joined = join([cache.get(key, functools.partial(encode_prompt, pipe, key)) for key in keys])
        prefix = "negative_" if is_negative else ""
        arguments |= {prefix + name: to_device(value, pipe._execution_device) for name, value in joined.items()}
    return {name: value for name, value in arguments.items() if name in parameters}


def prompt_keys(pipe: Any, requests: Sequence[ImageRequest], *, guided: bool) -> dict[bool, list[PromptKey]]:
    """What the requests, of one kind, need encoded: their prompts (False), and for guidance their negative prompts (True)."""
    clip_skip, chunks = requests[0].clip_skip, prompts_size(pipe, requests)
    keys = {False: [PromptKey(request.prompt, False, clip_skip, chunks) for request in requests]}
    if guided and takes_second_prompt(call_parameters(pipe)):
        keys[True] = [PromptKey(request.negative_prompt, True, clip_skip, chunks) for request in requests]
    return keys


def to_device(value: Any, device: Any) -> Any:
    return [tensor.to(device) for tensor in value] if isinstance(value, list) else value.to(device)


def takes_second_prompt(parameters: dict[str, Any]) -> bool:
    """Not where guidance by a second prediction is off by default: such a model was distilled to do without."""
    is_off = "true_cfg_scale" in parameters and (parameters["true_cfg_scale"] or 0) <= 1
    return not is_off and ("negative_prompt_embeds" in parameters or "negative_prompt" in parameters)


def encodes_here(pipe: Any) -> bool:
    """Whether it takes embeddings and its ways are known; another one is to encode by itself."""
    return "prompt_embeds" in call_parameters(pipe) and bool(clip_encoders(pipe) or family_of(pipe))


def encode_prompt(pipe: Any, key: PromptKey) -> Embeds:
    """For a pipeline that encodes_here."""
    if encoders := clip_encoders(pipe):
        check_clip_skip(encoders, key.clip_skip)
        embeds = encode_clip(pipe, encoders, key.text, key.clip_skip, key.chunks)
        is_zero = key.is_negative and not key.text and pipe.config.get("force_zeros_for_empty_prompt", False)
        return {name: torch.zeros_like(value) for name, value in embeds.items()} if is_zero else embeds
    family = family_of(pipe)
    assert family
    return encode_as_family(pipe, family, key.text, key.is_negative, key.clip_skip)


def family_of(pipe: Any) -> Family | None:
    name = type(pipe).__name__
    takes_pictures = "image" in inspect.signature(pipe.encode_prompt).parameters if hasattr(pipe, "encode_prompt") else True
    return None if takes_pictures else next((family for family in FAMILIES if name.startswith(family.name)), None)


def prompts_size(pipe: Any, requests: Sequence[ImageRequest]) -> int:
    """Chunks of 75 tokens that the longest prompt or negative prompt takes: part of what requests must share to run together."""
    encoders = clip_encoders(pipe)
    prompts = tuple(text for request in requests for text in (request.prompt, request.negative_prompt))
    return chunk_count(pipe, encoders, prompts) if encoders else 1


def encode_as_family(pipe: Any, family: Family, prompt: str, negative: bool, clip_skip: int) -> Embeds:
    """Through the pipeline's own method. Some encode a negative prompt in another way than a prompt."""
    known, defaults = inspect.signature(pipe.encode_prompt).parameters, call_parameters(pipe)
    has_negative = "negative_prompt" in known
    options: dict[str, Any] = {
        name: defaults[name] for name in ("max_sequence_length", "complex_human_instruction") if name in known and name in defaults
    }
    options |= {"device": pipe._execution_device, "prompt": [prompt or (family.blank if negative else "")]}
    options |= {name: None for name in ("prompt_2", "prompt_3") if name in known}  # that is: the same prompt
    if has_negative:
        options |= {"do_classifier_free_guidance": negative, "negative_prompt": [prompt] if negative else None}
    if clip_skip and "clip_skip" in known:
        options["clip_skip"] = clip_skip
    prefix = "negative_" if negative and has_negative else ""
    returned = dict(zip(family.returns, pipe.encode_prompt(**options), strict=False))
    embeds = {name.removeprefix(prefix): value for name, value in returned.items() if name.startswith("negative_") == bool(prefix)}
    if embeds.get("prompt_embeds_mask", ...) is None:  # of a prompt without padding
        embeds["prompt_embeds_mask"] = torch.ones(embeds["prompt_embeds"].shape[:2], dtype=torch.long, device=pipe._execution_device)
    return embeds


def join(each: Sequence[Embeds]) -> Embeds:
    """Those of several prompts as a batch: lists as a longer list, tensors (1, L, ...) filled up with zeros to the longest."""
    joined: Embeds = {}
    for name, first in each[0].items():
        values = [embeds[name] for embeds in each]
        if isinstance(first, list):
            joined[name] = [tensor for value in values for tensor in value]
        else:
            longest = max(value.shape[1] for value in values)
            joined[name] = torch.cat([F.pad(value, (0, 0) * (value.dim() - 2) + (0, longest - value.shape[1])) for value in values])
    return joined


def plain_arguments(requests: Sequence[ImageRequest], parameters: dict[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = {"prompt": [request.prompt for request in requests]}
    if "negative_prompt" in parameters and takes_second_prompt(parameters):
        blank = " " if "true_cfg_scale" in parameters else ""  # without a word such a model does not guide
        arguments["negative_prompt"] = [request.negative_prompt or blank for request in requests]
    if requests[0].clip_skip:
        arguments["clip_skip"] = requests[0].clip_skip
    return arguments

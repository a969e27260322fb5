"""Prompts -> what a pipeline is called with for them: embeddings, each computed once."""

from __future__ import annotations

import functools
import inspect
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from aigc_cli.backends.image.clip_prompts import check_clip_skip, chunk_count, clip_encoders, encode_clip
from aigc_cli.backends.image.facts import call_parameters
from aigc_cli.backends.image.prompt_weights import has_numbers
from aigc_cli.core.image import ImageRequest

KEPT = 64  # prompts; one takes up to 4 MB in FLUX.1's two encoders
SHOWN = 60  # characters of the text that is not read
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


class PromptCache:
    """What was encoded last, so that equal prompts are encoded once. For one model."""

    def __init__(self) -> None:
        self.entries: OrderedDict[Hashable, Embeds] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Embeds]) -> Embeds:
        if key not in self.entries:
            self.entries[key] = make()
        self.entries.move_to_end(key)
        while len(self.entries) > KEPT:
            self.entries.popitem(last=False)
        return self.entries[key]


def encode(pipe: Any, requests: Sequence[ImageRequest], cache: PromptCache, *, guided: bool) -> dict[str, Any]:
    """Arguments of the pipeline's call, for requests of one kind. guided: whether a second prediction is made.

    Each prompt is encoded alone, so that what else is in the batch changes nothing. A pipeline whose ways are not known here gets the
    prompts themselves.  Raises: UsageError for a --clip-skip that leaves no layer.
    """
    parameters = call_parameters(pipe)
    guided = guided and takes_second_prompt(parameters)
    clip_skip, size = requests[0].clip_skip, prompts_size(pipe, requests)
    encode_one = encoding(pipe, clip_skip, size)
    if encode_one is None:
        return plain_arguments(requests, parameters)

    def together(texts: Sequence[str], negative: bool) -> Embeds:
        keys = [(text, negative, clip_skip, size) for text in texts]
        return join([cache.get(key, functools.partial(encode_one, text, negative)) for key, text in zip(keys, texts, strict=True)])

    arguments = {"negative_prompt": None} | together([request.prompt for request in requests], False)  # some have "", which is one too many
    if guided:
        negative = together([request.negative_prompt for request in requests], True)
        arguments |= {f"negative_{name}": value for name, value in negative.items()}
    return {name: value for name, value in arguments.items() if name in parameters}


def takes_second_prompt(parameters: dict[str, Any]) -> bool:
    """Not where guidance by a second prediction is off by default: such a model was distilled to do without."""
    is_off = "true_cfg_scale" in parameters and (parameters["true_cfg_scale"] or 0) <= 1
    return not is_off and ("negative_prompt_embeds" in parameters or "negative_prompt" in parameters)


def encoding(pipe: Any, clip_skip: int, chunks: int) -> Callable[[str, bool], Embeds] | None:
    """(prompt, whether it is a negative one) -> its embeddings; None for a pipeline that is to encode by itself."""
    if "prompt_embeds" not in call_parameters(pipe):
        return None
    if encoders := clip_encoders(pipe):
        check_clip_skip(encoders, clip_skip)

        def encode_one(prompt: str, negative: bool) -> Embeds:
            embeds = encode_clip(pipe, encoders, prompt, clip_skip, chunks)
            is_zero = negative and not prompt and pipe.config.get("force_zeros_for_empty_prompt", False)
            return {name: torch.zeros_like(value) for name, value in embeds.items()} if is_zero else embeds

        return encode_one
    family = family_of(pipe)
    return (lambda prompt, negative: encode_as_family(pipe, family, prompt, negative, clip_skip)) if family else None


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


def check_prompt(pipe: Any, request: ImageRequest) -> tuple[str, ...]:
    """What of the prompts this model does not read, in words. Raises: UsageError for a --clip-skip that leaves no layer."""
    if encoders := clip_encoders(pipe):
        check_clip_skip(encoders, request.clip_skip)
        if "prompt_embeds" in call_parameters(pipe):
            return ()
    remarks = []
    if has_numbers(request.prompt) or has_numbers(request.negative_prompt):
        remarks.append("this model takes no weights in a prompt: brackets and numbers are read as text")
    for kind, text in (("prompt", request.prompt), ("negative prompt", request.negative_prompt)):
        if lost := unread(pipe, text):
            shown = lost if len(lost) <= SHOWN else f"{lost[:SHOWN]}..."
            remarks.append(f"the {kind} is too long for this model: it does not read its last {len(lost)} characters, from {shown!r} on")
    return tuple(remarks)


def unread(pipe: Any, prompt: str) -> str:
    """The end of the prompt that lies past the limit of the encoder that reads most of it; empty where all is read."""
    parts = pipe.components
    tokenizers = [parts.get(name) for name in ("tokenizer_3", "tokenizer_2", "tokenizer")]
    encoders = [parts.get(name) for name in ("text_encoder_3", "text_encoder_2", "text_encoder")]
    pairs = [pair for pair in zip(tokenizers, encoders, strict=True) if None not in pair]
    if not pairs:
        return ""
    tokenizer, encoder = pairs[0]
    room = room_for_tokens(pipe, tokenizer, is_clip=type(encoder).__name__.startswith("CLIP"))
    encoded = tokenizer(prompt, add_special_tokens=False, return_offsets_mapping=True)
    return prompt[encoded.offset_mapping[room][0] :] if len(encoded.input_ids) > room else ""


def room_for_tokens(pipe: Any, tokenizer: Any, is_clip: bool) -> int:
    """Tokens of a prompt that are read."""
    family = family_of(pipe)
    limit = int((None if is_clip else call_parameters(pipe).get("max_sequence_length")) or tokenizer.model_max_length)
    if template := getattr(pipe, "prompt_template_encode", None):  # Qwen-Image leaves out as many tokens as stand before the prompt
        before = tokenizer(template.partition("{}")[0], add_special_tokens=False).input_ids
        return limit - len(before) + int(pipe.prompt_template_encode_start_idx)
    if family and family.is_chat:
        return limit - template_length(pipe, tokenizer)
    if family and family.marks is not None:
        return limit - family.marks
    return limit - int(tokenizer.num_special_tokens_to_add())


def template_length(pipe: Any, tokenizer: Any) -> int:
    """Tokens of the chat template that stand before the prompt: what stands after it is cut first."""
    mark, system = "<prompt>", getattr(pipe, "system_message", None)
    messages = [("system", system)] if system else []
    content = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in [*messages, ("user", mark)]]
    if not system:
        content = [{"role": "user", "content": mark}]
    text = tokenizer.apply_chat_template(content, tokenize=False, add_generation_prompt=True)
    return len(tokenizer(text.partition(mark)[0], add_special_tokens=False).input_ids)

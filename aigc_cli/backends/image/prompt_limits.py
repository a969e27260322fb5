"""What of a prompt a model does not read, in words."""

from __future__ import annotations

from typing import Any

from aigc_cli.backends.image.clip_prompts import check_clip_skip, clip_encoders
from aigc_cli.backends.image.facts import call_parameters
from aigc_cli.backends.image.prompt_weights import has_numbers
from aigc_cli.backends.image.prompts import family_of
from aigc_cli.backends.image.text_encoders import kind_of
from aigc_cli.core.image import ImageRequest

SHOWN = 60  # characters of the text that is not read


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
    room = room_for_tokens(pipe, tokenizer, is_clip=kind_of(encoder).startswith("CLIP"))
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

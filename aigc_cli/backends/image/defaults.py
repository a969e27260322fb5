"""A request with nothing left to the model, or why this model cannot do it."""

from __future__ import annotations

import dataclasses
from typing import Any

from aigc_cli.backends.image.facts import PipelineFacts
from aigc_cli.backends.image.inputs import DEFAULT_STRENGTH, cut_remark, picture_size
from aigc_cli.backends.image.schedulers import make_scheduler
from aigc_cli.backends.image.sizes import TILING_FROM, grown, of_own_area, rounded
from aigc_cli.core.errors import UsageError
from aigc_cli.core.image import ImageRequest


def fill_in(request: ImageRequest, pipe: Any, parameters: dict[str, Any], facts: PipelineFacts) -> tuple[ImageRequest, tuple[str, ...]]:
    """The complete request, and what had to be changed or is worth knowing, in words.

    pipe: the pipeline that the request runs on; parameters: of its call.  facts: of the model's text-to-image pipeline.
    Raises: UsageError for what this model cannot do.
    """
    refuse_what_it_lacks(request, parameters, facts)
    make_scheduler(pipe, request.scheduler or facts.scheduler)
    (width, height), remarks = settle_size(request, facts)
    steps = request.steps or facts.steps
    guidance_scale = facts.guidance_scale if request.guidance_scale is None else request.guidance_scale
    if request.negative_prompt and guidance_scale <= facts.guidance_off:
        remarks.append(f"with --guidance-scale {guidance_scale:g} the negative prompt changes nothing")
    complete = dataclasses.replace(
        request,
        width=width,
        height=height,
        steps=steps,
        guidance_scale=guidance_scale,
        scheduler=request.scheduler or facts.scheduler,
        strength=settle_strength(request, parameters, steps),
    )
    return complete, tuple(remarks)


def refuse_what_it_lacks(request: ImageRequest, parameters: dict[str, Any], facts: PipelineFacts) -> None:
    if facts.inpaints_only and not (request.mask or request.outpaint):
        raise UsageError("this model only redraws parts of pictures", "give it --init-image with --mask or --outpaint")
    if request.negative_prompt and not facts.takes_negative:
        raise UsageError("this model takes no negative prompt", "say in the prompt what you want to see instead")
    if (request.guidance_scale or 0.0) > facts.guidance_off and not facts.takes_guidance:
        raise UsageError("this model takes no guidance: it was distilled to go without", "leave out --guidance-scale")
    if (request.transparent or request.background) and not facts.has_alpha:
        option = "--transparent" if request.transparent else "--background"
        raise UsageError(f"this model draws no transparency: {option} changes nothing", f"leave out {option}, or take a model that does")
    if request.clip_skip and "clip_skip" not in parameters:
        raise UsageError("this model has no CLIP text encoder whose layers could be left out", "leave out --clip-skip")
    if request.strength is not None and "strength" not in parameters:
        raise UsageError("this model takes a picture as a reference: it has no --strength", "leave it out")
    takes_control = "controlnet_conditioning_scale" in parameters
    if request.control_image and not takes_control:
        raise UsageError("--control-image belongs to a ControlNet", "name one for this model: --controlnet PATH")
    if takes_control and not request.control_image:
        raise UsageError("a ControlNet follows a picture", "name it: --control-image FILE")


def settle_size(request: ImageRequest, facts: PipelineFacts) -> tuple[tuple[int, int], list[str]]:
    """Width and height, and a word on each change."""
    remarks: list[str] = []
    if request.outpaint:
        size = grown_size(request, facts)
    else:
        wanted, remarks = wanted_size(request, facts)
        size = rounded(wanted, facts.multiple)
        if size != wanted and (request.width or request.height):
            asked, takes = f"{wanted[0]} x {wanted[1]}", f"{size[0]} x {size[1]}"
            remarks.append(f"{asked} is drawn as {takes}: this model takes multiples of {facts.multiple}")
    if size[0] * size[1] > TILING_FROM and facts.can_tile:
        remarks.append(f"{size[0]} x {size[1]} is decoded in tiles, which saves memory and may show faint seams")
    return size, remarks


def grown_size(request: ImageRequest, facts: PipelineFacts) -> tuple[int, int]:
    assert request.init_image
    size = grown(picture_size(request.init_image), request.outpaint, facts.multiple)
    if (request.width or size[0], request.height or size[1]) != size:
        raise UsageError("--outpaint decides the size", "leave out --width and --height")
    return size


def wanted_size(request: ImageRequest, facts: PipelineFacts) -> tuple[tuple[int, int], list[str]]:
    """What was asked for, else what the init image has, else what the model was made for."""
    if not request.init_image:
        return (request.width or facts.size[0], request.height or facts.size[1]), []
    own = picture_size(request.init_image)
    if request.width and request.height:
        size = (request.width, request.height)
        return size, cut_remark(request.init_image, own, size)
    if request.width:
        return (request.width, round(request.width * own[1] / own[0])), []
    if request.height:
        return (round(request.height * own[0] / own[1]), request.height), []
    size = of_own_area(own, facts.size)
    drawn = rounded(size, facts.multiple)
    if drawn == own:
        return own, []
    made_for = f"was made for {facts.size[0]} x {facts.size[1]}" if size != own else f"takes multiples of {facts.multiple}"
    return size, [f"{request.init_image} has {own[0]} x {own[1]} pixels and is drawn as {drawn[0]} x {drawn[1]}: this model {made_for}"]


def settle_strength(request: ImageRequest, parameters: dict[str, Any], steps: int) -> float | None:
    """All of what a mask shows is redrawn, and some of a whole picture. None where there is nothing to begin with."""
    if not request.init_image or "strength" not in parameters:
        return None
    redrawn = 1.0 if request.mask or request.outpaint else DEFAULT_STRENGTH
    strength = redrawn if request.strength is None else request.strength
    if int(steps * strength) < 1:  # as the pipelines count them
        raise UsageError(f"--steps {steps} with --strength {strength:g} leaves no step to do", f"at least --steps {int(1 / strength) + 1}")
    return strength

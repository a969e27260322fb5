"""What a pipeline wants by itself, read from its call's signature and its parts' configs."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import dataclass
from typing import Any

from aigc_cli.backends.image.schedulers import own_choice
from aigc_cli.backends.image.sizes import can_tile, denoiser, has_alpha, own_size, size_multiple
from aigc_cli.core.engine import ModelSource
from aigc_cli.core.errors import ModelError

FEW_STEPS = 4
GENERATION_CONFIG = "generation_config.json"
FEW_STEP_NAMES = re.compile(r"turbo|lightning|schnell|hyper|(?<![a-z])lcm(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
class PipelineFacts:
    """parameters: of the pipeline's call, with their defaults.

    guidance_name: the parameter that guides by a second, unprompted prediction, or the one that a distilled model takes in
    its place.  guidance_off: up to here it changes nothing.  takes_guidance: False for a model distilled to go without.
    takes_negative: whether the second prediction follows a negative prompt.
    multiple: pixels that both sides must be multiples of.  inpaints_only: its UNet wants a mask with every picture.
    has_alpha: it draws in RGBA.  can_tile: its VAE decodes a large picture piece by piece.
    """

    parameters: dict[str, Any]
    size: tuple[int, int]
    multiple: int
    steps: int
    guidance_scale: float
    guidance_name: str
    guidance_off: float
    takes_guidance: bool
    takes_negative: bool
    scheduler: str
    inpaints_only: bool
    has_alpha: bool
    can_tile: bool


def read_facts(pipe: Any, source: ModelSource) -> PipelineFacts:
    parameters = call_parameters(pipe)
    guidance_name = "true_cfg_scale" if (parameters.get("true_cfg_scale") or 0) > 1 else "guidance_scale"
    distilled_guidance = guidance_name == "guidance_scale" and "true_cfg_scale" in parameters
    guidance = parameters.get(guidance_name)
    guidance_off = 0.0 if "cfg_normalization" in parameters else 1.0  # Z-Image counts from 0, the others from 1
    few_steps = is_few_step(pipe, source)
    own_steps = FEW_STEPS if few_steps else int(parameters.get("num_inference_steps") or 50)
    own_guidance = few_step_guidance(pipe, guidance_off) if few_steps else float(guidance if guidance is not None else 1.0)
    asked = generation_config(source)
    return PipelineFacts(
        parameters=parameters,
        size=own_size(pipe, parameters),
        multiple=size_multiple(pipe),
        steps=int(asked.get("num_inference_steps") or own_steps),
        guidance_scale=float(asked.get("guidance_scale", own_guidance)),
        guidance_name=guidance_name,
        guidance_off=guidance_off,
        takes_guidance=takes_guidance(pipe, distilled_guidance),
        takes_negative="negative_prompt" in parameters and not distilled_guidance,
        scheduler=own_choice(pipe.scheduler).name,
        inpaints_only=getattr(pipe, "unet", None) is not None and pipe.unet.config.in_channels == 9,
        has_alpha=has_alpha(pipe),
        can_tile=can_tile(pipe),
    )


def generation_config(source: ModelSource) -> dict[str, int | float]:
    """What the model's makers draw with, in a file named as transformers names that of a language model; diffusers has none.

    Raises: ModelError for one that cannot be read.
    """
    path = source.path and source.path / GENERATION_CONFIG
    if not path or not path.is_file():
        return {}
    try:
        asked = json.loads(path.read_text("utf-8"))
        return {name: value for name, value in asked.items() if type(value) in (int, float)}
    except (OSError, ValueError, AttributeError) as error:
        raise ModelError(f"{path} cannot be read: {error}", "fetch it again, or take it away") from error


def takes_guidance(pipe: Any, distilled_guidance: bool) -> bool:
    """False for the kinds of FLUX that were distilled to go without (schnell; FLUX.2 klein's fast one)."""
    if "is_distilled" in pipe.config:
        return not pipe.config["is_distilled"]
    return not distilled_guidance or bool(denoiser(pipe).config.get("guidance_embeds"))


def call_parameters(pipe: Any) -> dict[str, Any]:
    """Names and defaults; None for a parameter without a default."""
    found = inspect.signature(type(pipe).__call__).parameters.values()
    return {each.name: None if each.default is each.empty else each.default for each in found if each.name != "self"}


def is_few_step(pipe: Any, source: ModelSource) -> bool:
    """Whether the model was distilled to a few steps without guidance: its configs say so, else its name does.

    Stable Diffusion's turbo kinds space their steps "trailing" and predict noise, which no other kind does with a noise
    schedule that keeps some signal at its end.
    """
    config = pipe.scheduler.config
    if "is_distilled" in pipe.config:
        return bool(pipe.config["is_distilled"])
    if "guidance_embeds" in denoiser(pipe).config and type(pipe).__name__.startswith("Flux") and "true_cfg_scale" in call_parameters(pipe):
        return not denoiser(pipe).config["guidance_embeds"]
    if type(pipe.scheduler).__name__ in ("LCMScheduler", "TCDScheduler"):
        return True
    keeps_signal = not config.get("rescale_betas_zero_snr") and config.get("prediction_type") == "epsilon"
    if getattr(pipe, "unet", None) is not None and config.get("timestep_spacing") == "trailing" and keeps_signal:
        return True
    names = (source.name, source.repo or "", str(pipe.config.get("_name_or_path") or ""))
    return any(FEW_STEP_NAMES.search(re.split(r"[\\/]", name)[-1]) for name in names)


def few_step_guidance(pipe: Any, off: float) -> float:
    """Off, but for a network that was trained with the scale as an input."""
    is_input = denoiser(pipe).config.get("time_cond_proj_dim")
    return float(call_parameters(pipe)["guidance_scale"]) if is_input else off

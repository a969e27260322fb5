"""Prompts -> what a pipeline is called with for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aigc_cli.backends.image.facts import call_parameters
from aigc_cli.core.image import ImageRequest


def encode(pipe: Any, requests: Sequence[ImageRequest]) -> dict[str, Any]:
    """Arguments of the pipeline's call, for requests of one kind."""
    arguments: dict[str, Any] = {"prompt": [request.prompt for request in requests]}
    parameters = call_parameters(pipe)
    if (parameters.get("true_cfg_scale") or 0) > 1:  # it guides only where there is a negative prompt
        arguments["negative_prompt"] = [request.negative_prompt or " " for request in requests]
    elif "negative_prompt" in parameters and "true_cfg_scale" not in parameters:
        arguments["negative_prompt"] = [request.negative_prompt for request in requests]
    if requests[0].clip_skip:
        arguments["clip_skip"] = requests[0].clip_skip
    return arguments

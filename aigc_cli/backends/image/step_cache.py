"""Steps that reuse what the denoiser's deep layers made of an earlier step: faster, and the picture differs a little.

Which steps are whole depends on their number alone, so a picture does not depend on what else is in its batch.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from diffusers import UNet2DConditionModel

from aigc_cli.backends.image.drift import Drift
from aigc_cli.backends.image.sizes import denoiser
from aigc_cli.backends.image.transformer_cache import TransformerCache, deep_lists
from aigc_cli.backends.image.unet_cache import UNetCache
from aigc_cli.core.errors import UsageError


def check_cache(pipe: Any) -> None:
    """Raises: UsageError for a model whose steps cannot be reused."""
    network, family = denoiser(pipe), type(pipe).__name__.removesuffix("Pipeline")
    if isinstance(network, UNet2DConditionModel):
        return
    if not deep_lists(network):
        raise UsageError(f"--cache: nothing is known to reuse between the steps of a {family} model", "leave out --cache")
    if getattr(pipe, "controlnet", None) is not None:  # it adds to what is between the blocks that are passed by
        raise UsageError(f"--cache and --controlnet do not go together in a {family} model", "leave out one of the two")


def cached_steps(pipe: Any) -> AbstractContextManager[Drift]:
    """For one call of a pipeline that check_cache let pass: nothing of an earlier call is reused. Gives what tells how far it was off."""
    network = denoiser(pipe)
    return (UNetCache if isinstance(network, UNet2DConditionModel) else TransformerCache)(network).in_place()

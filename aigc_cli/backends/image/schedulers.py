"""The schedulers that fit a model, and how one is made from a short name."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import diffusers
import numpy as np

from aigc_cli.core.errors import UsageError
from aigc_cli.core.nearest import nearest
from aigc_cli.core.sampler_names import CHOICES, FLOW_CHOICES, Choice, check_package

# the settings of a plain form, where it has them: what the model's own scheduler was set to must not leak into another
PLAIN = {
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
    "stochastic_sampling": False,
    "algorithm_type": "dpmsolver++",
    "final_sigmas_type": "zero",  # the only one that goes with dpmsolver++
    "clip_sample": False,  # that is for pixels: latents go beyond 1
}
DEIS = {"algorithm_type": "deis", "solver_type": "logrho"}


def is_flow(scheduler: Any) -> bool:
    """Whether the model predicts a velocity between picture and noise, rather than the noise. Liu et al. 2022, arXiv:2209.03003."""
    config = scheduler.config
    return (
        type(scheduler).__name__.startswith("FlowMatch")
        or bool(config.get("use_flow_sigmas"))
        or config.get("prediction_type") == "flow_prediction"
    )


def fitting(pipe: Any) -> tuple[Choice, ...]:
    """What this pipeline can draw with. A flow pipeline may compute its own sigmas, which its scheduler must then take."""
    if not is_flow(pipe.scheduler):
        return CHOICES
    own = own_choice(pipe.scheduler)
    asked = needed_arguments(pipe)
    return tuple(choice for choice in FLOW_CHOICES if choice == own or asked <= accepted_arguments(choice))


def needed_arguments(pipe: Any) -> set[str]:
    """What the pipeline's call hands to set_timesteps beyond the number of steps."""
    source = inspect.getsource(type(pipe).__call__)
    needed = {"sigmas"} if "sigmas=sigmas" in source and "sigmas = " in source else set()
    shifts = "mu=mu" in source or '{"mu": mu}' in source
    return needed | ({"mu"} if shifts or pipe.scheduler.config.get("use_dynamic_shifting") else set())


def accepted_arguments(choice: Choice) -> set[str]:
    return set(inspect.signature(getattr(diffusers, choice.scheduler).set_timesteps).parameters)


def own_choice(scheduler: Any) -> Choice:
    """What the model comes with, by its short name; one that has none keeps the name of its class."""
    choices = FLOW_CHOICES if is_flow(scheduler) else CHOICES
    kind = type(scheduler).__name__
    matching = [
        choice
        for choice in choices
        if choice.scheduler == kind and all(scheduler.config.get(name) == value for name, value in choice.settings.items())
    ]
    return max(matching, key=lambda choice: len(choice.settings), default=Choice(kind, kind))


def make_scheduler(pipe: Any, name: str) -> Any:
    """A fresh scheduler with the model's noise schedule.

    Raises: UsageError for one that is unknown, does not fit the model, or needs a package that is not there.
    """
    own = own_choice(pipe.scheduler)
    if name == own.name:
        return type(pipe.scheduler).from_config(pipe.scheduler.config)
    choice = find(name, fitting(pipe), own)
    check_package(choice)
    scheduler_class = getattr(diffusers, choice.scheduler)
    known = set(inspect.signature(scheduler_class.__init__).parameters)
    plain = {key: value for key, value in PLAIN.items() if key in known} | (DEIS if choice.name == "deis" else {})
    scheduler = scheduler_class.from_config(pipe.scheduler.config, **plain | shift_settings(pipe.scheduler, known) | choice.settings)
    if choice.scheduler == "UniPCMultistepScheduler":
        take_lists(scheduler)
    return scheduler


def take_lists(scheduler: Any) -> None:
    """Lets set_timesteps take sigmas as a list, which UniPC multiplies as if they were an array (diffusers 0.42)."""
    original = scheduler.set_timesteps

    @functools.wraps(original)  # pipelines look at its signature
    def set_timesteps(*arguments: Any, sigmas: Any = None, **options: Any) -> None:
        original(*arguments, sigmas=None if sigmas is None else np.asarray(sigmas), **options)

    scheduler.set_timesteps = set_timesteps


def shift_settings(scheduler: Any, known: set[str]) -> dict[str, Any]:
    """The flow-matching schedulers and the others have one setting under two names."""
    shift = scheduler.config.get("shift", scheduler.config.get("flow_shift"))
    return {name: shift for name in ("shift", "flow_shift") if name in known and shift is not None and is_flow(scheduler)}


def find(name: str, offered: tuple[Choice, ...], own: Choice) -> Choice:
    by_name = {choice.name: choice for choice in offered}
    if name in by_name:
        return by_name[name]
    runnable = [choice.name for choice in offered if choice.can_run]
    there = f"there is: {', '.join(dict.fromkeys([own.name, *runnable]))}"
    if name in {choice.name for choice in (*CHOICES, *FLOW_CHOICES)}:
        raise UsageError(f"--scheduler {name} does not fit this model", there)
    raise UsageError(f"there is no scheduler {name!r}", nearest(name, runnable) or there)

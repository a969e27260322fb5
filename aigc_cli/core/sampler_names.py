"""Samplers by short name: what each is in diffusers, and what A1111 calls it."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass, field
from typing import Any

from aigc_cli.core.errors import UsageError
from aigc_cli.core.nearest import nearest

AUTOMATIC = "Automatic"


@dataclass(frozen=True)
class Choice:
    """A scheduler of diffusers with the settings that make it what its short name says.

    sampler, schedule: A1111's words for it; empty where it has none.  needs: a package that diffusers does not bring.
    """

    name: str
    scheduler: str
    settings: dict[str, Any] = field(default_factory=dict)
    sampler: str = ""
    schedule: str = AUTOMATIC
    needs: str = ""

    @property
    def can_run(self) -> bool:
        return not self.needs or importlib.util.find_spec(self.needs) is not None


EXPONENTIAL = {"use_exponential_sigmas": True}
KARRAS = {"use_karras_sigmas": True}
SDE = {"algorithm_type": "sde-dpmsolver++"}
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}

CHOICES = (  # the first of a class is its plain form
    Choice("ddpm", "DDPMScheduler"),
    Choice("ddim", "DDIMScheduler", {}, "DDIM"),
    Choice("pndm", "PNDMScheduler", {"skip_prk_steps": True}, "PLMS"),
    Choice("euler", "EulerDiscreteScheduler", {}, "Euler"),
    Choice("euler-karras", "EulerDiscreteScheduler", KARRAS, "Euler", "Karras"),
    Choice("euler-a", "EulerAncestralDiscreteScheduler", {}, "Euler a"),
    Choice("heun", "HeunDiscreteScheduler", {}, "Heun"),
    Choice("heun-karras", "HeunDiscreteScheduler", KARRAS, "Heun", "Karras"),
    Choice("lms", "LMSDiscreteScheduler", {}, "LMS", needs="scipy"),
    Choice("lms-karras", "LMSDiscreteScheduler", KARRAS, "LMS", "Karras", needs="scipy"),
    Choice("dpm2", "KDPM2DiscreteScheduler", {}, "DPM2", "Normal"),
    Choice("dpm2-karras", "KDPM2DiscreteScheduler", KARRAS, "DPM2", "Karras"),
    Choice("dpm2-a", "KDPM2AncestralDiscreteScheduler", {}, "DPM2 a", "Normal"),
    Choice("dpm2-a-karras", "KDPM2AncestralDiscreteScheduler", KARRAS, "DPM2 a", "Karras"),
    Choice("dpm++2m", "DPMSolverMultistepScheduler", {}, "DPM++ 2M", "Normal"),
    Choice("dpm++2m-karras", "DPMSolverMultistepScheduler", KARRAS, "DPM++ 2M", "Karras"),
    Choice("dpm++2m-sde", "DPMSolverMultistepScheduler", SDE, "DPM++ 2M SDE", "Normal"),
    Choice("dpm++2m-sde-exponential", "DPMSolverMultistepScheduler", SDE | EXPONENTIAL, "DPM++ 2M SDE", "Exponential"),
    Choice("dpm++2m-sde-karras", "DPMSolverMultistepScheduler", SDE | KARRAS, "DPM++ 2M SDE", "Karras"),
    Choice("dpm++2s", "DPMSolverSinglestepScheduler"),
    Choice("dpm++2s-karras", "DPMSolverSinglestepScheduler", KARRAS),
    Choice("deis", "DEISMultistepScheduler"),
    Choice("unipc", "UniPCMultistepScheduler", {}, "UniPC"),
    Choice("unipc-karras", "UniPCMultistepScheduler", KARRAS, "UniPC", "Karras"),
    Choice("lcm", "LCMScheduler", {}, "LCM"),
    Choice("tcd", "TCDScheduler"),
)
FLOW_CHOICES = (
    Choice("flow-euler", "FlowMatchEulerDiscreteScheduler", {}, "Euler", "Simple"),
    Choice("flow-euler-karras", "FlowMatchEulerDiscreteScheduler", KARRAS, "Euler", "Karras"),
    Choice("flow-euler-sde", "FlowMatchEulerDiscreteScheduler", {"stochastic_sampling": True}),
    Choice("flow-heun", "FlowMatchHeunDiscreteScheduler", {}, "Heun", "Simple"),
    Choice("flow-lcm", "FlowMatchLCMScheduler", {}, "LCM", "Simple"),
    Choice("flow-dpm++2m", "DPMSolverMultistepScheduler", FLOW, "DPM++ 2M", "Simple"),
    Choice("flow-dpm++2m-sde", "DPMSolverMultistepScheduler", FLOW | SDE, "DPM++ 2M SDE", "Simple"),
    Choice("flow-unipc", "UniPCMultistepScheduler", FLOW, "UniPC", "Simple"),
)

# the schedule that A1111 takes for these samplers when it is left at Automatic (its modules/sd_samplers_kdiffusion.py)
AUTOMATIC_SCHEDULES = {"DPM++ 2M": "Karras", "DPM2": "Karras", "DPM2 a": "Karras", "DPM++ 2M SDE": "Exponential"}
PLAIN_SCHEDULES = ("Normal", "Uniform", "Simple", AUTOMATIC)  # all of them even steps, more or less
SEPARATORS = re.compile(r"[-_\s]")
CLASS_ENDING = "Scheduler"  # of a model's own one that has no short name


def known_sampler(name: str) -> str:
    """The short name, whose case, hyphens, underscores and spaces may be others: DPM++2M, euler_a.

    Raises: UsageError for a name that no model could know, or a scheduler that lacks a package.
    """
    if name.endswith(CLASS_ENDING):
        return name
    if choice := BY_LETTERS.get(letters(name)):
        check_package(choice)
        return choice.name
    offered = [choice.name for choice in BY_LETTERS.values() if choice.can_run]
    raise UsageError(f"there is no scheduler {name!r}", nearest(name, offered) or f"there is: {', '.join(offered)}")


def check_package(choice: Choice) -> None:
    """Raises: UsageError where the package is missing that it needs."""
    if not choice.can_run:
        raise UsageError(
            f"--scheduler {choice.name} needs the package {choice.needs}, which is not installed", f"pip install {choice.needs}"
        )


def letters(name: str) -> str:
    """What of a name counts."""
    return SEPARATORS.sub("", name.casefold())


BY_LETTERS = {letters(choice.name): choice for choice in (*CHOICES, *FLOW_CHOICES)}


def from_a1111(sampler: str, schedule: str = "", *, flow: bool = False) -> str | None:
    """The short name of what A1111 calls so; older versions have the schedule in the sampler's name. None for one that is not here.

    flow: for a model that predicts a velocity.
    """
    for word in ("Karras", "Exponential"):
        if sampler.endswith(f" {word}"):
            sampler, schedule = sampler.removesuffix(f" {word}"), word
    if schedule in ("", AUTOMATIC):
        schedule = AUTOMATIC if flow else AUTOMATIC_SCHEDULES.get(sampler, AUTOMATIC)
    for choice in FLOW_CHOICES if flow else CHOICES:
        same = choice.schedule == schedule or (choice.schedule in PLAIN_SCHEDULES and schedule in PLAIN_SCHEDULES)
        if choice.sampler.lower() == sampler.lower() and same:
            return choice.name
    return None


def to_a1111(name: str) -> tuple[str, str]:
    """A1111's words for a short name, sampler and schedule; the name as it is where it has none."""
    for choice in (*CHOICES, *FLOW_CHOICES):
        if choice.name == name and choice.sampler:
            return choice.sampler, choice.schedule
    return name, AUTOMATIC

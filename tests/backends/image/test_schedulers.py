"""Every scheduler that is offered draws, and its estimates end where the picture does."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from aigc_cli.backends.image import steps
from aigc_cli.backends.image.schedulers import fitting, make_scheduler, own_choice
from aigc_cli.core.errors import UsageError
from aigc_cli.core.events import ImageStep
from aigc_cli.core.image import ImageRequest
from aigc_cli.core.sampler_names import CHOICES, FLOW_CHOICES, from_a1111, to_a1111
from tests.backends.image.conftest import OpenEngine

OF_THEIR_OWN_SPACING = ("flow-euler", "flow-euler-karras", "flow-euler-sde", "flow-lcm", "flow-unipc")
NEEDS_SCIPY = ("lms", "lms-karras")


@pytest.mark.parametrize(
    ("family", "name"),
    [("sd", choice.name) for choice in CHOICES]
    + [(family, choice.name) for family in ("sd3", "sana") for choice in FLOW_CHOICES]
    + [
        (family, name)
        for family in ("flux", "z-image")
        for name in ("flow-euler", "flow-euler-karras", "flow-euler-sde", "flow-lcm", "flow-unipc")
    ],
)
def test_the_last_estimate_is_the_picture(open_engine: OpenEngine, family: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name in NEEDS_SCIPY:
        pytest.importorskip("scipy")
    engine = open_engine(family)
    assert name in [choice.name for choice in fitting(engine.pipe)]
    last: list[tuple[torch.Tensor, torch.Tensor]] = []
    denoised = steps.denoised

    def spy(scheduler: Any, output: Any, *rest: Any) -> torch.Tensor:
        last.append((denoised(scheduler, output, *rest), output.prev_sample))
        return last[-1][0]

    monkeypatch.setattr(steps, "denoised", spy)
    asked, _ = engine.complete(ImageRequest(prompt="a fox", seed=1, width=64, height=64, steps=4, scheduler=name))
    counted = [event.step for event in engine.stream([asked], "final") if isinstance(event, ImageStep)]
    assert counted == [1, 2, 3, 4]
    estimate, end = last[-1]
    assert (estimate - end).abs().max() < 0.01 * end.abs().max()


def test_flow_pipelines_that_space_their_own_steps_are_offered_what_can_follow(open_engine: OpenEngine) -> None:
    def offered(family: str) -> set[str]:
        return {choice.name for choice in fitting(open_engine(family).pipe)}

    assert "flow-heun" in offered("sd3")
    assert "flow-heun" not in offered("flux")
    assert "euler-a" not in offered("sd3")


def test_a_plain_form_drops_what_the_models_own_scheduler_was_set_to(open_engine: OpenEngine) -> None:
    pipe = open_engine("sd").pipe
    own = pipe.scheduler
    try:
        pipe.scheduler = make_scheduler(pipe, "dpm++2m-sde-karras")
        assert own_choice(pipe.scheduler).name == "dpm++2m-sde-karras"
        plain = make_scheduler(pipe, "dpm++2m")
    finally:
        pipe.scheduler = own
    assert (plain.config.use_karras_sigmas, plain.config.algorithm_type) == (False, "dpmsolver++")
    assert plain.config.beta_schedule == "scaled_linear"


@pytest.mark.parametrize(
    ("sampler", "schedule", "name"),
    [
        ("Euler a", "", "euler-a"),
        ("Euler a", "Automatic", "euler-a"),
        ("DPM++ 2M Karras", "", "dpm++2m-karras"),
        ("DPM++ 2M", "Karras", "dpm++2m-karras"),
        ("DPM++ 2M", "Automatic", "dpm++2m-karras"),
        ("DPM++ 2M", "Normal", "dpm++2m"),
        ("DPM++ 2M SDE", "Automatic", "dpm++2m-sde-exponential"),
        ("DDIM", "", "ddim"),
        ("PLMS", "", "pndm"),
        ("Restart", "", None),
    ],
)
def test_a1111s_samplers_have_our_names(sampler: str, schedule: str, name: str | None) -> None:
    assert from_a1111(sampler, schedule) == name


def test_what_is_written_for_a1111_reads_back() -> None:
    for choice in CHOICES:
        if choice.sampler:
            assert from_a1111(*to_a1111(choice.name)) == choice.name
    assert from_a1111("Euler", "Simple", flow=True) == "flow-euler"
    assert to_a1111("ddpm") == ("ddpm", "Automatic")


def test_what_there_is_is_told_once(open_engine: OpenEngine) -> None:
    with pytest.raises(UsageError) as refusal:
        make_scheduler(open_engine("flux").pipe, "ddim")
    names = refusal.value.hint.removeprefix("there is: ").split(", ")
    assert len(names) == len(set(names)) > 1

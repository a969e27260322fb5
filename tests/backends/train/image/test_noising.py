"""Noise, targets and weights are those of diffusers' schedulers and training scripts."""

from __future__ import annotations

from typing import Any

import diffusers
import pytest
import torch
from diffusers.training_utils import compute_density_for_timestep_sampling, compute_snr
from torch import Tensor

from aigc_cli.backends.train.image.noising import noising_of
from aigc_cli.core.errors import UsageError
from aigc_cli.core.finetune_image import Diffusion
from tests.backends.image.tiny_pipelines import SD_BETAS

LATENTS, NOISE = torch.randn(2, 5, 4, 8, 8, generator=torch.Generator().manual_seed(0))
STEPS = torch.tensor([0, 1, 400, 998, 999])
TIMES = (STEPS + 0.5) / 1000
GAMMA = 5.0


def scheduler_of(prediction: str, kind: str = "DDPMScheduler", **config: Any) -> Any:
    return getattr(diffusers, kind)(**SD_BETAS, prediction_type=prediction, **config)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("kind", ["DDPMScheduler", "EulerDiscreteScheduler", "DPMSolverMultistepScheduler"])
def test_diffusion_is_that_of_the_training_scheduler(prediction: str, kind: str) -> None:
    noising, trainer = noising_of(scheduler_of(prediction, kind), Diffusion()), scheduler_of(prediction)
    assert noising.timesteps(TIMES).tolist() == STEPS.tolist()
    torch.testing.assert_close(noising.add(LATENTS, NOISE, TIMES), trainer.add_noise(LATENTS, NOISE, STEPS))
    targets = {"epsilon": NOISE, "v_prediction": trainer.get_velocity(LATENTS, NOISE, STEPS), "sample": LATENTS}
    torch.testing.assert_close(noising.target(LATENTS, NOISE, TIMES), targets[prediction])
    assert noising.weights(TIMES).tolist() == [1.0] * 5


def test_the_ends_of_time_are_levels_too() -> None:
    noising = noising_of(scheduler_of("epsilon"), Diffusion())
    assert noising.timesteps(torch.tensor([0.0, 1.0])).tolist() == [0, 999]


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_min_snr_weights(prediction: str) -> None:
    """As in diffusers' train_text_to_image.py for the first two; the paper's own, of which they are made, for the latents."""
    ratio = compute_snr(scheduler_of(prediction), STEPS)
    least = torch.minimum(ratio, torch.full_like(ratio, GAMMA))
    expected = {"epsilon": least / ratio, "v_prediction": least / (ratio + 1), "sample": least}[prediction]
    weights = noising_of(scheduler_of(prediction), Diffusion(min_snr_gamma=GAMMA)).weights(TIMES)
    torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-6)
    assert len(set(weights.tolist())) > 2


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_a_level_without_signal_divides_by_nothing(prediction: str) -> None:
    scheduler = scheduler_of(prediction, rescale_betas_zero_snr=True)
    assert scheduler.alphas_cumprod[-1] == 0
    noising = noising_of(scheduler, Diffusion(min_snr_gamma=GAMMA))
    assert torch.equal(noising.add(LATENTS, NOISE, TIMES)[-1], NOISE[-1])
    assert noising.weights(TIMES)[-1] == {"epsilon": 1.0, "v_prediction": 0.0, "sample": 0.0}[prediction]
    assert noising.target(LATENTS, NOISE, TIMES).isfinite().all()


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_a_flow_is_that_of_its_scheduler(shift: float) -> None:
    scheduler: Any = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
    noising = noising_of(scheduler, Diffusion())
    places = [0, 10, 500, 900, 999]
    sigmas, timesteps = scheduler.sigmas[places], scheduler.timesteps[places]
    torch.testing.assert_close(noising.timesteps(sigmas), timesteps)
    torch.testing.assert_close(noising.add(LATENTS, NOISE, sigmas), scheduler.scale_noise(LATENTS, timesteps, NOISE))
    assert torch.equal(noising.target(LATENTS, NOISE, sigmas), NOISE - LATENTS)
    assert noising.weights(sigmas).tolist() == [1.0] * 5


def levels_of_diffusers(shift: float) -> Tensor:
    """As its scripts for Stable Diffusion 3 draw them: places in a schedule that goes downwards."""
    scheduler: Any = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
    density = compute_density_for_timestep_sampling(
        "logit_normal", 20_000, logit_mean=0.0, logit_std=1.0, generator=torch.Generator().manual_seed(1)
    )
    sigmas: Tensor = scheduler.sigmas[(density * scheduler.config.num_train_timesteps).long()]
    return sigmas


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_levels_of_flow_are_distributed_as_in_diffusers(shift: float) -> None:
    noising = noising_of(diffusers.FlowMatchEulerDiscreteScheduler(shift=shift), Diffusion())
    drawn = noising.draw_times(torch.Generator().manual_seed(0), 20_000)
    at = torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95])
    torch.testing.assert_close(drawn.quantile(at), levels_of_diffusers(shift).quantile(at), rtol=0, atol=0.015)


def test_levels_of_diffusion_are_all_alike() -> None:
    drawn = noising_of(scheduler_of("epsilon"), Diffusion()).draw_times(torch.Generator().manual_seed(0), 20_000)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    torch.testing.assert_close(drawn.quantile(torch.tensor([0.25, 0.5, 0.75])), torch.tensor([0.25, 0.5, 0.75]), rtol=0, atol=0.015)


def test_solvers_that_know_flows_and_schedulers_that_shift_by_size() -> None:
    generator = torch.Generator().manual_seed(0)
    solver = diffusers.DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    shifted = noising_of(solver, Diffusion()).draw_times(generator, 1000)
    dynamic = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    plain = noising_of(dynamic, Diffusion()).draw_times(generator.manual_seed(0), 1000)
    torch.testing.assert_close(shifted, 3 * plain / (1 + 2 * plain))
    assert noising_of(solver, Diffusion()).timesteps(torch.tensor([0.5])).tolist() == [500.0]


def test_min_snr_means_nothing_to_a_flow() -> None:
    with pytest.raises(UsageError, match="--min-snr-gamma has no meaning"):
        noising_of(diffusers.FlowMatchEulerDiscreteScheduler(), Diffusion(min_snr_gamma=GAMMA))


def test_a_scheduler_of_another_kind_is_refused() -> None:
    with pytest.raises(UsageError, match="EDMEulerScheduler"):
        noising_of(diffusers.EDMEulerScheduler(), Diffusion())

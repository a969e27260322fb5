"""What happens inside a pipeline's denoising loop, seen from outside.

Every pipeline of diffusers, those without a callback too, counts its steps on `progress_bar` and advances with
`scheduler.step`. Both are watched: the one says which step of how many is done, the other what the picture will be.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from aigc_cli.backends.image.schedulers import is_flow

Estimate = Callable[[], torch.Tensor | None]
OnStep = Callable[[int, int, Estimate], None]


@contextmanager
def watched(pipe: Any, on_step: OnStep) -> Iterator[None]:
    """Calls on_step(step, steps, estimate) after every step, from 1; what it raises ends the pipeline's call.

    estimate: computes that of the denoised latents, as the pipeline lays them out, if it is called before the next step.
    """
    estimates = Estimates(pipe.scheduler)
    counted = functools.partial(StepCounter, lambda step, steps: on_step(step, steps, estimates.last_estimate))
    pipe.progress_bar, pipe.scheduler.step = counted, estimates.step
    try:
        yield
    finally:
        del pipe.__dict__["progress_bar"], pipe.scheduler.__dict__["step"]


class StepCounter:
    """Stands for the bar that a pipeline counts its steps on."""

    def __init__(self, on_count: Callable[[int, int], None], iterable: Iterable[Any] | None = None, total: int | None = None) -> None:
        self.on_count, self.items = on_count, list(iterable or ())
        self.total = len(self.items) if total is None else total
        self.done = 0

    def __enter__(self) -> StepCounter:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to take down."""

    def __iter__(self) -> Iterator[Any]:
        for item in self.items:
            yield item
            self.update()

    def update(self, count: int = 1) -> None:
        self.done += count
        self.on_count(self.done, self.total)


class Estimates:
    """Stands for a scheduler's step, and keeps what the estimate x0 of the last one is computed from."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.last_estimate: Estimate = lambda: None
        original = scheduler.step

        @functools.wraps(original)  # pipelines look at its signature
        def step(
            model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, *rest: Any, return_dict: bool = True, **options: Any
        ) -> Any:
            output = original(model_output, timestep, sample, *rest, return_dict=True, **options)
            self.last_estimate = functools.partial(denoised, scheduler, output, model_output, timestep, sample)
            return output if return_dict else output.to_tuple()

        self.step = step


def denoised(scheduler: Any, output: Any, model_output: torch.Tensor, timestep: Any, sample: torch.Tensor) -> torch.Tensor:
    """The latents without noise, as this step sees them: x0, computed by the scheduler itself or from what the network predicts."""
    estimate = getattr(output, "pred_original_sample", getattr(output, "denoised", None))
    if estimate is None and solves_for_x0(scheduler):
        estimate = scheduler.model_outputs[-1]
    if isinstance(estimate, torch.Tensor):
        return estimate
    steps, time = int(scheduler.config.num_train_timesteps), float(timestep)
    if is_flow(scheduler):
        return sample - time / steps * model_output  # x_t = x0 + sigma * v
    alpha: torch.Tensor = scheduler.alphas_cumprod[min(round(time), steps - 1)].to(sample)  # the share of signal
    sigma = torch.sqrt((1 - alpha) / alpha)
    if float(scheduler.init_noise_sigma) > 1.5:  # Karras et al. 2022: the sample is x0 + sigma * noise
        sample = sample * torch.sqrt(alpha)
    if scheduler.config.prediction_type == "v_prediction":
        return sample * torch.sqrt(alpha) - torch.sqrt(1 - alpha) * model_output
    return sample / torch.sqrt(alpha) - sigma * model_output


def solves_for_x0(scheduler: Any) -> bool:
    """Whether a multistep solver keeps x0 of its last steps (DPM-Solver++, UniPC) rather than noise."""
    kept = getattr(scheduler, "model_outputs", None) or [None]
    config = scheduler.config
    return kept[-1] is not None and ("++" in str(config.get("algorithm_type")) or bool(config.get("predict_x0")))

"""Losses and gradients are those of diffusers' training formulas, and depend on a picture's own draw alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import diffusers
import pytest
import torch
from diffusers.training_utils import compute_snr
from torch import Tensor
from torch.nn import functional

from aigc_cli.backends.train.image.noising import noising_of
from aigc_cli.backends.train.image.objective import Denoise, LearnedPicture, hide
from aigc_cli.backends.train.learner import Learner, masters_of
from aigc_cli.core.finetune import Pace
from aigc_cli.core.finetune_image import Diffusion, ImageFinetuneRequest, ImageTuning, PictureChoice
from tests.backends.image.tiny_pipelines import SD_BETAS, tiny_pipeline
from tests.backends.train.image.learning import CPU, FAMILIES, SIZE, objective_of, pictures, shake

LORA, FULL = ImageTuning(lora_rank=4), ImageTuning(method="full")


def gradients(objective: Denoise, loss: Tensor) -> dict[str, Tensor]:
    parameters = {name: weight for name, weight in objective.module.named_parameters() if weight.requires_grad}
    found = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    return {name: gradient for name, gradient in zip(parameters, found, strict=True) if gradient is not None}


def assert_same_gradients(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert any(gradient.any() for gradient in one.values())
    largest = max(float(gradient.abs().max()) for gradient in one.values())
    for name, gradient in one.items():
        torch.testing.assert_close(gradient, other[name], rtol=1e-3, atol=1e-5 * largest, msg=name)


def drawn(row: LearnedPicture) -> tuple[Tensor, Tensor]:
    """The two numbers that a picture's generator gives: one for the level, and the noise. (), (c, h, w)"""
    generator = torch.Generator().manual_seed(row.draw)
    return torch.rand(1, generator=generator)[0], torch.randn(row.latents.shape, generator=generator)


def told(rows: list[LearnedPicture], name: str) -> Tensor:
    return torch.stack([row.conditioning[name] for row in rows])


def unet_loss(pipe: Any, rows: list[LearnedPicture], prediction: str, gamma: float | None) -> Tensor:
    """As train_text_to_image.py and its sister for XL have it, with a DDPM scheduler of the same betas."""
    scheduler: Any = diffusers.DDPMScheduler(**SD_BETAS, prediction_type=prediction)
    steps = torch.stack([(drawn(row)[0] * 1000).long() for row in rows])
    noise, latents = torch.stack([drawn(row)[1] for row in rows]), torch.stack([row.latents for row in rows])
    added = {}
    if type(pipe).__name__ == "StableDiffusionXLPipeline":
        added["added_cond_kwargs"] = {"text_embeds": told(rows, "pooled_prompt_embeds"), "time_ids": SIZE.repeat(len(rows), 1)}
    answer = pipe.unet(scheduler.add_noise(latents, noise, steps), steps, told(rows, "prompt_embeds"), **added).sample
    target = {"epsilon": noise, "sample": latents, "v_prediction": scheduler.get_velocity(latents, noise, steps)}[prediction]
    if gamma is None:
        return functional.mse_loss(answer.float(), target.float(), reduction="mean")
    ratio = compute_snr(scheduler, steps)
    weights = torch.stack([ratio, gamma * torch.ones_like(ratio)], dim=1).min(dim=1)[0]
    weights = weights / {"epsilon": ratio, "v_prediction": ratio + 1}[prediction]
    loss = functional.mse_loss(answer.float(), target.float(), reduction="none")
    weighted: Tensor = (loss.mean(dim=list(range(1, len(loss.shape)))) * weights).mean()
    return weighted


@pytest.mark.parametrize("tuning", [LORA, FULL], ids=["lora", "full"])
@pytest.mark.parametrize(
    ("name", "prediction", "gamma"),
    [
        ("sd", "epsilon", None),
        ("sd", "epsilon", 5.0),
        ("sd", "v_prediction", 5.0),
        ("sd", "sample", None),
        ("sdxl", "epsilon", 5.0),
        ("sdxl", "v_prediction", None),
    ],
)
def test_gradients_of_diffusion(name: str, prediction: str, gamma: float | None, tuning: ImageTuning) -> None:
    pipe = tiny_pipeline(name)
    pipe.scheduler = diffusers.EulerDiscreteScheduler(**SD_BETAS, prediction_type=prediction)
    objective, trainable = objective_of(pipe, tuning, Diffusion(min_snr_gamma=gamma))
    shake(trainable.parameters)
    rows = pictures(objective.family)
    loss, expected = objective.loss(rows) / objective.weight(rows), unet_loss(pipe, rows, prediction, gamma)
    torch.testing.assert_close(loss, expected)
    assert_same_gradients(gradients(objective, loss), gradients(objective, expected))


def flow_inputs(rows: list[LearnedPicture], shift: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """sigmas, timesteps, noisy latents, target"""
    generators = [torch.Generator().manual_seed(row.draw) for row in rows]
    times = torch.stack([torch.sigmoid(torch.randn(1, generator=generator))[0] for generator in generators])
    sigmas = (shift * times / (1 + (shift - 1) * times)).view(-1, 1, 1, 1)
    latents = torch.stack([row.latents for row in rows])
    noise = torch.stack([torch.randn(row.latents.shape, generator=each) for row, each in zip(rows, generators, strict=True)])
    return sigmas, sigmas.flatten() * 1000, (1.0 - sigmas) * latents + sigmas * noise, noise - latents


def sd3_loss(pipe: Any, rows: list[LearnedPicture]) -> Tensor:
    """As train_dreambooth_sd3.py has it, where the network's answer is not made into latents first."""
    _, timesteps, noisy, target = flow_inputs(rows, shift=3.0)
    answer = pipe.transformer(
        hidden_states=noisy,
        timestep=timesteps,
        encoder_hidden_states=told(rows, "prompt_embeds"),
        pooled_projections=told(rows, "pooled_prompt_embeds"),
        return_dict=False,
    )[0]
    return torch.mean(((answer.float() - target.float()) ** 2).reshape(target.shape[0], -1), 1).mean()


def flux_loss(pipe: Any, rows: list[LearnedPicture]) -> Tensor:
    """As train_dreambooth_flux.py has it, with its --guidance_scale 1."""
    flux = diffusers.FluxPipeline
    _, timesteps, noisy, target = flow_inputs(rows, shift=1.0)
    count, channels, height, width = noisy.shape
    answer = pipe.transformer(
        hidden_states=flux._pack_latents(noisy, count, channels, height, width),
        timestep=timesteps / 1000,
        guidance=torch.tensor([1.0]).expand(count),
        pooled_projections=told(rows, "pooled_prompt_embeds"),
        encoder_hidden_states=told(rows, "prompt_embeds"),
        txt_ids=torch.zeros(512, 3),
        img_ids=flux._prepare_latent_image_ids(count, height // 2, width // 2, "cpu", torch.float32),
        return_dict=False,
    )[0]
    answer = flux._unpack_latents(answer, height=height * 8, width=width * 8, vae_scale_factor=8)
    return torch.mean(((answer.float() - target.float()) ** 2).reshape(target.shape[0], -1), 1).mean()


@pytest.mark.parametrize("tuning", [LORA, FULL], ids=["lora", "full"])
@pytest.mark.parametrize(("name", "formula"), [("sd3", sd3_loss), ("flux", flux_loss)])
def test_gradients_of_flow_matching(name: str, formula: Any, tuning: ImageTuning) -> None:
    pipe = tiny_pipeline(name)
    objective, trainable = objective_of(pipe, tuning)
    shake(trainable.parameters)
    rows = pictures(objective.family)
    loss, expected = objective.loss(rows) / objective.weight(rows), formula(pipe, rows)
    torch.testing.assert_close(loss, expected)
    assert_same_gradients(gradients(objective, loss), gradients(objective, expected))


@pytest.mark.parametrize("name", FAMILIES)
def test_micro_batches_add_up_to_the_batch(name: str) -> None:
    objective, _ = objective_of(tiny_pipeline(name), FULL)
    rows = pictures(objective.family)
    whole = gradients(objective, objective.loss(rows))
    parts = [gradients(objective, objective.loss(part)) for part in (rows[:1], rows[1:3], rows[3:])]
    assert_same_gradients(whole, {key: sum((part[key] for part in parts), torch.zeros(())) for key in whole})
    assert objective.size(rows) == objective.weight(rows) == 4


def test_noise_depends_on_the_draw_alone() -> None:
    objective, _ = objective_of(tiny_pipeline("sd"), LORA)
    first, second, *_ = pictures(objective.family)
    torch.manual_seed(5)
    together = hide([first, second], objective.noising)
    torch.manual_seed(6)
    alone, other = hide([second], objective.noising), hide([replace(second, draw=7)], objective.noising)
    assert torch.equal(together.noisy[1:], alone.noisy)
    assert torch.equal(together.timesteps[1:], alone.timesteps)
    assert not torch.equal(alone.noisy, other.noisy)
    assert not torch.equal(alone.timesteps, other.timesteps)


def test_levels_can_be_given() -> None:
    objective, _ = objective_of(tiny_pipeline("sd"), LORA)
    row = pictures(objective.family)[0]
    given = hide([row, row], objective.noising, torch.tensor([0.25, 0.75]))
    assert given.timesteps.tolist() == [250, 750]
    alone = objective.errors([row], objective.noising.draw_times(torch.Generator().manual_seed(row.draw), 1))
    assert torch.equal(alone, objective.errors([row]))


def test_the_level_is_the_same_for_a_picture_of_another_size() -> None:
    objective, _ = objective_of(tiny_pipeline("sd"), LORA)
    row = pictures(objective.family)[0]
    larger = replace(row, latents=torch.zeros(4, 16, 8))
    assert torch.equal(hide([row], objective.noising).timesteps, hide([larger], objective.noising).timesteps)


def test_errors_are_each_pictures_own_and_bear_no_weights() -> None:
    pipe = tiny_pipeline("sd")
    plain, trainable = objective_of(pipe, FULL)
    weighted = Denoise(plain.family, noising_of(pipe.scheduler, Diffusion(min_snr_gamma=5.0)), trainable, "cpu")
    rows = pictures(plain.family)
    with torch.no_grad():
        assert torch.equal(plain.errors(rows), weighted.errors(rows))
        torch.testing.assert_close(plain.errors(rows).sum(), plain.loss(rows))
        torch.testing.assert_close(plain.errors(rows)[2:3], plain.errors(rows[2:3]))
        assert weighted.loss(rows) < plain.loss(rows)


@pytest.mark.parametrize("name", ["sd", "sdxl", "sd3", "flux"])
def test_tokens_are_embedded_with_gradients(name: str) -> None:
    """At the start the loss is that of the embeddings; and the text encoder learns."""
    objective, trainable = objective_of(tiny_pipeline(name), replace(LORA, train_text_encoder=True))
    by_tokens = objective.loss(pictures(objective.family, as_tokens=True))
    torch.testing.assert_close(by_tokens, objective.loss(pictures(objective.family)))
    shake(trainable.parameters)
    learnt = gradients(objective, objective.loss(pictures(objective.family, as_tokens=True)))
    assert any(key.startswith("text_encoder.") and gradient.any() for key, gradient in learnt.items())


@pytest.mark.parametrize(
    ("name", "tuning"),
    [("sd", LORA), ("sd", FULL), ("sdxl", LORA), ("sd3", LORA), ("flux", LORA), ("flux", FULL), ("sd", replace(LORA, lora_dropout=0.1))],
    ids=["sd", "sd-full", "sdxl", "sd3", "flux", "flux-full", "sd-dropout"],
)
def test_updates_in_bfloat16(name: str, tuning: ImageTuning) -> None:
    """Through the learner, as a run makes them. The loss is near that in float32, and every moved weight is a float32 one."""
    exact, _ = objective_of(tiny_pipeline(name), replace(tuning, lora_dropout=0.0))
    expected = exact.loss(pictures(exact.family)).item() / 4
    pipe = tiny_pipeline(name)
    if tuning.is_adapter:
        pipe.to(torch.bfloat16)
    objective, trainable = objective_of(pipe, tuning)
    placement = replace(CPU, dtype="bfloat16")
    masters = masters_of(trainable, placement)
    data, pace = PictureChoice(paths=("x",)), Pace(batch_size=2)
    request = ImageFinetuneRequest(model="tiny", data=data, tuning=tuning, pace=pace)
    before = {key: weight.detach().clone() for key, weight in masters.weights.items()}
    learner = Learner(trainable, masters, objective, request, placement)
    rows = pictures(objective.family)
    losses = [learner.updater.update(rows, 1e-3, lambda: False).loss for _ in range(2)]
    assert losses[0] == pytest.approx(expected, rel=0.05)
    assert {weight.dtype for weight in masters.weights.values()} == {torch.float32}
    assert any(not torch.equal(weight, before[key]) for key, weight in masters.weights.items())

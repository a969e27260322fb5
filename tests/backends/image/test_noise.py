"""Random numbers come from a picture's seed and from nothing else."""

from __future__ import annotations

import diffusers
import pytest
import torch
from diffusers.pipelines.stable_diffusion import pipeline_stable_diffusion
from diffusers.utils.torch_utils import randn_tensor

from aigc_cli.backends.image.noise import BatchNoise, slerp
from aigc_cli.core.image import ImageRequest


def noise(*seeds: int) -> BatchNoise:
    return BatchNoise([ImageRequest(prompt="x", seed=seed) for seed in seeds])


def test_a_pictures_noise_is_torchs_for_its_seed_wherever_it_stands() -> None:
    wanted = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(7))
    for batch, place in ((noise(7), 0), (noise(1, 7, 2), 1)):
        drawn = batch.randn((len(batch.pictures), 4, 8, 8), generator=batch.generators)
        assert torch.equal(drawn[place : place + 1], wanted)


def test_it_is_drawn_in_float32_and_then_cast() -> None:
    exact = noise(7).randn((1, 4, 8, 8))
    cast = noise(7).randn((1, 4, 8, 8), dtype=torch.bfloat16)
    assert cast.dtype == torch.bfloat16
    assert torch.equal(cast, exact.bfloat16())


def test_one_pictures_generator_draws_its_numbers_only() -> None:
    batch = noise(1, 7)
    drawn = batch.randn((1, 4), generator=batch.generators[1])
    assert torch.equal(drawn, torch.randn((1, 4), generator=torch.Generator().manual_seed(7)))


def test_what_an_encoder_draws_moves_nothing() -> None:
    batch, other = noise(1, 7), noise(1, 7)
    batch.encoder_randn((1, 4), generator=batch.generators[1])
    assert torch.equal(batch.randn((2, 4)), other.randn((2, 4)))


def test_a_batch_of_another_size_is_an_error() -> None:
    with pytest.raises(ValueError, match="noise for 3 pictures was asked of 2 generators"):
        noise(1, 2).randn((3, 4))


def test_diffusers_draws_from_it_only_as_long_as_asked() -> None:
    batch = noise(1)
    assert diffusers.StableDiffusionPipeline
    with batch.in_place():
        assert pipeline_stable_diffusion.randn_tensor == batch.randn
    assert pipeline_stable_diffusion.randn_tensor is randn_tensor


def test_slerp_keeps_the_length_and_reaches_both_ends() -> None:
    start, end = torch.randn((2, 1000), generator=torch.Generator().manual_seed(0))
    assert torch.allclose(slerp(start, end, 0.0), start, atol=1e-5)
    assert torch.allclose(slerp(start, end, 1.0), end, atol=1e-5)
    assert abs(slerp(start, end, 0.5).norm() / start.norm() - 1) < 0.05
    assert torch.allclose(slerp(start, start * 2, 0.5), start * 1.5)

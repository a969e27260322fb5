"""Latents are those that the family's pipeline would decode into the picture again."""

from __future__ import annotations

from typing import Any

import diffusers
import pytest
import torch

from aigc_cli.backends.train.image.families import open_family
from aigc_cli.backends.train.image.latents import encode, normalized
from tests.backends.image.tiny_pipelines import kl_vae, tiny_pipeline

PIXELS = torch.rand(2, 3, 32, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("name", ["sd", "sdxl", "sd3", "flux", "pixart", "sana"])
def test_decoding_undoes_them(name: str) -> None:
    """By the formula of each pipeline's last lines, up to the autoencoder's own latents."""
    pipe = tiny_pipeline(name)
    latents = open_family(pipe).encode_pixels(PIXELS)
    own = latents / pipe.vae.config.scaling_factor + (pipe.vae.config.get("shift_factor") or 0.0)
    with torch.no_grad():
        encoded = pipe.vae.encode(PIXELS)
    expected = encoded.latent if name == "sana" else encoded.latent_dist.mode()
    torch.testing.assert_close(own, expected, rtol=1e-5, atol=1e-5)
    assert latents.shape[2:] == (32 // pipe.vae_scale_factor, 64 // pipe.vae_scale_factor)


def test_four_channels_through_a_tiny_autoencoder() -> None:
    torch.manual_seed(0)
    widths = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8), "num_encoder_blocks": (1, 1)}
    vae: Any = diffusers.AutoencoderTiny(
        in_channels=4, out_channels=4, **widths, num_decoder_blocks=(1, 1), latent_channels=6, scaling_factor=1.7
    )
    pixels = torch.rand(1, 4, 16, 16)
    with torch.no_grad():
        expected = vae.encode(pixels).latents * 1.7
    assert torch.equal(encode(vae, pixels), expected)


def test_a_mean_and_a_deviation_for_each_channel() -> None:
    vae: Any = kl_vae(latents_mean=[1.0, 2.0, 3.0, 4.0], latents_std=[1.0, 2.0, 4.0, 8.0], scaling_factor=0.5)
    latents = normalized(torch.full((1, 4, 1, 1), 5.0), vae.config)
    assert latents.flatten().tolist() == [2.0, 0.75, 0.25, 0.0625]


def test_they_are_computed_in_float32_and_the_autoencoder_stays_as_it_was() -> None:
    pipe = tiny_pipeline("sd")
    pipe.vae.to(torch.bfloat16)
    rounded = {name: weight.clone() for name, weight in pipe.vae.state_dict().items()}
    latents = open_family(pipe).encode_pixels(PIXELS)
    assert latents.dtype == torch.float32
    assert pipe.vae.dtype == torch.bfloat16
    assert all(torch.equal(weight, rounded[name]) for name, weight in pipe.vae.state_dict().items())
    assert not torch.equal(latents, latents.bfloat16().float())

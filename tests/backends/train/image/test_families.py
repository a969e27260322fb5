"""A family predicts what its pipeline's denoiser is asked when it draws; pipelines that cannot be trained are refused in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffusers
import pytest
import torch

from aigc_cli.backends.train.image.denoisers import compute_dtype
from aigc_cli.backends.train.image.families import open_family
from aigc_cli.core.errors import UsageError
from tests.backends.image.tiny_pipelines import kl_vae, sdxl, tiny_pipeline, unet

FAMILIES = ["sd", "sdxl", "sd3", "flux", "pixart", "sana"]


class Asked:
    """The first call of a denoiser: its noisy latents, its timesteps and its answer."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.calls: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self.hook = network.register_forward_hook(self.remember, with_kwargs=True)

    def remember(self, network: Any, arguments: tuple[Any, ...], options: dict[str, Any], output: Any) -> None:
        noisy = arguments[0] if arguments else options["hidden_states"]
        timestep = arguments[1] if len(arguments) > 1 else options["timestep"]
        self.calls.append((noisy, timestep, output[0]))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_prediction_is_the_pipelines(name: str) -> None:
    pipe = tiny_pipeline(name)
    family = open_family(pipe)
    side = {"sana": 32}.get(name, 64)
    asked = Asked(family.denoiser)
    caption = "A red 狐狸"
    options: dict[str, Any] = {"use_resolution_binning": False, "clean_caption": False} if name in ("pixart", "sana") else {}
    if name == "sana":
        options["complex_human_instruction"] = None
    with torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        pipe(
            caption, height=side, width=2 * side, num_inference_steps=2, guidance_scale=1.0, output_type="latent", **options,
            generator=generator,
        )  # fmt: skip
        asked.hook.remove()
        noisy, timestep, answer = asked.calls[0]
        told = dict(family.embed(family.tokens([caption])))
        if name == "sana":  # without its instruction
            encoded = pipe.encode_prompt(caption, do_classifier_free_guidance=False)
            told = {"prompt_embeds": encoded[0], "prompt_attention_mask": encoded[1]}
        if name == "flux":
            noisy, answer = (pipe._unpack_latents(each, side, 2 * side, pipe.vae_scale_factor) for each in (noisy, answer))
            timestep = timestep * 1000
        if name == "sana":
            timestep = timestep / pipe.transformer.config.timestep_scale
        sizes = torch.tensor([[side, 2 * side, 0, 0, side, 2 * side]])
        found = family.predict(noisy, timestep.reshape(1), told, sizes)
    torch.testing.assert_close(found, answer[:, : noisy.shape[1]], rtol=1e-4, atol=1e-5)


def test_pixart_is_told_the_size_and_its_guess_of_the_variance_is_left_out() -> None:
    pipe = tiny_pipeline("pixart")
    config = {
        **pipe.transformer.config,
        "use_additional_conditions": True,
        "out_channels": 8,
        "attention_head_dim": 12,
        "cross_attention_dim": 24,
    }
    pipe.register_modules(transformer=diffusers.PixArtTransformer2DModel.from_config(config).eval())
    family = open_family(pipe)
    told = family.embed(family.tokens(["fox"]))
    noisy, time = torch.randn(1, 4, 8, 8), torch.tensor([7])
    with torch.no_grad():
        small, large = (family.predict(noisy, time, told, torch.tensor([[64, 64, 0, 0, side, side]])) for side in (64, 512))
    assert small.shape == noisy.shape
    assert not torch.equal(small, large)


def test_stable_diffusion_xl_is_told_of_the_crop() -> None:
    family = open_family(tiny_pipeline("sdxl"))
    told = family.embed(family.tokens(["fox"]))
    noisy, time = torch.randn(1, 4, 8, 8), torch.tensor([7])
    with torch.no_grad():
        whole, cropped = (family.predict(noisy, time, told, torch.tensor([[80, 64, top, 0, 64, 64]])) for top in (0, 16))
    assert not torch.equal(whole, cropped)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_it_says_of_itself(name: str) -> None:
    pipe = tiny_pipeline(name)
    family = open_family(pipe)
    assert family.channels == 3
    assert family.multiple % family.scale == 0
    assert family.resolution == {"flux": 1024, "sana": 1024}.get(name, 64)
    assert len(family.text_encoders) == {"sd": 1, "sdxl": 2, "sd3": 3, "flux": 2, "pixart": 1, "sana": 1}[name]
    assert compute_dtype(family.denoiser.to(torch.bfloat16)) == torch.bfloat16


def test_other_pipelines_are_refused_with_those_that_can_be_trained() -> None:
    with pytest.raises(UsageError, match="a ZImage model cannot be trained here") as caught:
        open_family(tiny_pipeline("z-image"))
    assert "Stable Diffusion XL" in caught.value.hint
    assert "FLUX.1" in caught.value.hint


def inpainting() -> Any:
    pipe = tiny_pipeline("sd")
    pipe.register_modules(unet=unet(32, channels=9, out_channels=4))
    return pipe


def distilled() -> Any:
    pipe = tiny_pipeline("sd")
    pipe.register_modules(unet=unet(32, time_cond_proj_dim=8))
    return pipe


def refiner() -> Any:
    pipe = sdxl()
    pipe.register_modules(text_encoder=None, tokenizer=None)
    return pipe


def grey() -> Any:
    pipe = tiny_pipeline("sd")
    pipe.register_modules(vae=kl_vae(in_channels=1, out_channels=1))
    return pipe


def quantised() -> Any:
    pipe = tiny_pipeline("flux")
    pipe.transformer.hf_quantizer = object()
    return pipe


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (inpainting, "takes 9 channels, and its autoencoder makes 4"),
        (distilled, "guidance as an input"),
        (refiner, "it has no text_encoder"),
        (grey, "its autoencoder takes 1 channels"),
        (quantised, "its weights are quantised"),
    ],
)
def test_why_one_of_a_known_family_is_refused(make: Callable[[], Any], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        open_family(make())

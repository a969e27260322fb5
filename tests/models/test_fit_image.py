"""What an image model takes, from its configs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aigc_cli.core.engine import Dtype
from aigc_cli.models.fit import Memory
from aigc_cli.models.fit_image import RUNTIME, activations, fit_image, image_fits
from aigc_cli.models.pipeline_facts import Part, PipelineFacts, Role

GIB = 2**30
MIB = 2**20
VAE = {"block_out_channels": [128, 256, 512, 512], "force_upcast": True}
UNET = {"sample_size": 64, "block_out_channels": [320, 640, 1280, 1280], "layers_per_block": 2}


def part(name: str, role: Role, count: int, config: dict[str, Any], **parameters: int) -> Part:
    return Part(name=name, kind="X", role=role, config=config, parameters=parameters or {"F32": count}, size=4 * count)


SD15 = PipelineFacts(
    "StableDiffusionPipeline",
    (
        part("text_encoder", "text encoder", 123_060_480, {}),
        part("unet", "denoiser", 859_520_964, UNET),
        part("vae", "vae", 83_653_863, VAE),
    ),
)
FLUX_DENOISER = {"num_attention_heads": 24, "attention_head_dim": 128, "in_channels": 64, "patch_size": 1}
FLUX = PipelineFacts(
    "FluxPipeline",
    (
        part("text_encoder", "text encoder", 123_000_000, {}),
        part("text_encoder_2", "text encoder", 4_760_000_000, {}),
        part("transformer", "denoiser", 11_900_000_000, FLUX_DENOISER),
        part("vae", "vae", 83_800_000, VAE),
    ),
)


@pytest.mark.parametrize(("dtype", "measured"), [("float32", 5542), ("bfloat16", 3828)])
def test_the_estimate_of_stable_diffusion_15_is_near_what_was_measured(dtype: str, measured: int) -> None:
    """measured: MiB, the peak of a process that drew 512 x 512 on a CPU, from weights in float32."""
    found = fit_image(SD15, Memory("cpu", 64 * GIB, (dtype,)), dtype, 64 * GIB)
    assert found.measure == "whole"
    assert found.needs / MIB == pytest.approx(measured, rel=0.2)


def test_the_decoder_is_the_peak_and_overflows_in_half_precision_for_sdxl() -> None:
    plain = activations(SD15, Dtype.FLOAT16)
    assert plain.decode > plain.denoise
    sdxl = replace(SD15, pipeline="StableDiffusionXLPipeline")
    assert activations(sdxl, Dtype.FLOAT16).decode == activations(sdxl, Dtype.FLOAT32).decode == 2 * plain.decode


def test_flux_draws_without_a_second_pass_and_four_latents_a_token() -> None:
    tokens = (1024 // 16) ** 2 + 512
    assert activations(FLUX, Dtype.BFLOAT16).denoise == tokens * 24 * 128 * 2 * 22


@pytest.mark.parametrize(
    ("free", "host", "measure", "fits"),
    [
        (48 * GIB, 64 * GIB, "whole", True),
        (33 * GIB, 64 * GIB, "text encoders freed", True),
        (26 * GIB, 64 * GIB, "offload", True),
        (26 * GIB, 16 * GIB, "text encoders freed", False),  # the parts have nowhere to wait
        (20 * GIB, 64 * GIB, "offload", False),
    ],
)
def test_the_first_measure_that_is_enough_is_named(free: int, host: int, measure: str, fits: bool) -> None:
    found = fit_image(FLUX, Memory("cuda:0", free, ("bfloat16",)), "bfloat16", host)
    assert (found.measure, found.fits) == (measure, fits)
    assert (found.needs <= free) == fits


def test_a_cpu_has_nowhere_to_offload_to() -> None:
    found = fit_image(FLUX, Memory("cpu", 26 * GIB, ("bfloat16",)), "bfloat16", 26 * GIB)
    assert (found.measure, found.fits) == ("text encoders freed", False)


def test_a_quantised_denoiser_counts_as_it_is_on_disk() -> None:
    packed = replace(FLUX.parts[2], parameters={"Q4_K": 11_900_000_000, "F32": 1000}, size=6_800_000_000)
    facts = PipelineFacts("FluxPipeline", (*FLUX.parts[:2], packed, FLUX.parts[3]))
    whole, small = (image_fits(each, [Memory("cpu", 64 * GIB, ("float32",))])[0].weights for each in (FLUX, facts))
    assert whole - small == 4 * 11_900_000_000 - 6_800_000_000


def test_every_device_and_format_is_told_the_best_first() -> None:
    memories = [Memory("cuda:0", GIB, ("bfloat16", "float32")), Memory("cpu", 64 * GIB, ("bfloat16", "float32"))]
    found = image_fits(SD15, memories)
    assert [(each.device, each.dtype, each.fits) for each in found] == [
        ("cuda:0", "bfloat16", False),
        ("cuda:0", "float32", False),
        ("cpu", "bfloat16", True),
        ("cpu", "float32", True),
    ]


def test_a_tiny_pipeline_takes_little_more_than_the_runtime(tmp_path: Path) -> None:
    tiny = PipelineFacts("StableDiffusionPipeline", (part("unet", "denoiser", 1000, {"sample_size": 8, "block_out_channels": [16, 32]}),))
    assert 0 < fit_image(tiny, Memory("cpu", GIB, ("float32",)), "float32", GIB).needs - RUNTIME < 32 * MIB

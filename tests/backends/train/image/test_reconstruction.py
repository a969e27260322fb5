"""The loss of an autoencoder: what it sees, and that it depends on nothing but the rows."""

from __future__ import annotations

import diffusers
import numpy
import pytest
import torch

from aigc_cli.backends.train.image.autoencoder_training import AutoencoderTraining
from aigc_cli.backends.train.image.reconstruction import Reconstruction, SeenPicture, errors, pyramid_error, scaled_picture, views


def objective(**training: float) -> Reconstruction:
    torch.manual_seed(0)
    vae = diffusers.AutoencoderTiny(
        in_channels=4,
        out_channels=4,
        encoder_block_out_channels=(8, 8, 8),
        decoder_block_out_channels=(8, 8, 8),
        num_encoder_blocks=(1, 1, 1),
        num_decoder_blocks=(1, 1, 1),
    )
    return Reconstruction(vae, AutoencoderTraining(**training), "cpu")  # type: ignore[arg-type]


def rows(count: int) -> list[SeenPicture]:
    random = numpy.random.default_rng(0)
    return [SeenPicture(random.integers(0, 256, (16, 20, 4), dtype=numpy.uint8), number) for number in range(count)]


def test_rows_weigh_alike_however_they_are_cut_into_batches() -> None:
    learnt = objective(mirrored=0.3, halved=0.4)
    whole = learnt.loss(rows(9)).item()
    parts = sum(learnt.loss(part).item() for part in (rows(9)[:2], rows(9)[2:3], rows(9)[3:]))
    assert parts == pytest.approx(whole, rel=1e-5)


def test_noise_depends_on_the_draw_alone() -> None:
    learnt, (first, second) = objective(), rows(2)
    torch.manual_seed(1)
    before = learnt.loss([first]).item()
    torch.manual_seed(2)
    assert learnt.loss([first]).item() == before
    assert learnt.loss([SeenPicture(first.pixels, second.draw)]).item() != before


def test_latents_of_an_odd_side_are_halved_too() -> None:
    pixels = numpy.zeros((20, 12, 4), dtype=numpy.uint8)
    assert objective(mirrored=0, halved=1).loss([SeenPicture(pixels, 0)]).isfinite()


def test_what_is_wholly_transparent_counts_for_little() -> None:
    clear = torch.full((1, 4, 8, 8), -1.0)
    reddish = clear.clone()
    reddish[:, 0] = 1.0
    opaque, opaque_reddish = clear.clone(), reddish.clone()
    opaque[:, 3] = opaque_reddish[:, 3] = 1.0
    assert 0 < errors(reddish, clear).item() < 0.1 * errors(opaque_reddish, opaque).item()


def test_views_are_what_is_seen_over_black_and_white() -> None:
    half = torch.tensor([1.0, 0.0, -1.0, 0.0]).reshape(1, 4, 1, 1)  # red 1, green 1/2, blue 0, half transparent
    seen = {name: view.flatten().tolist() for name, view in views(half).items()}
    assert seen == {"black": [0.5, 0.25, 0.0], "white": [1.0, 0.75, 0.5], "alpha": [0.5]}


def test_the_pyramid_holds_the_whole_difference() -> None:
    """A flat difference stands in what remains alone; one of single pixels in the finest level."""
    flat = torch.full((1, 1, 16, 16), 0.5)
    assert pyramid_error(flat).item() == pytest.approx(0.5)
    chequered = torch.tensor([[0.5, -0.5], [-0.5, 0.5]]).repeat(8, 8)[None, None]
    assert pyramid_error(chequered).item() == pytest.approx(0.5)


def test_scaling_does_not_mix_in_colours_that_nobody_sees() -> None:
    pixels = torch.full((1, 4, 4, 4), 1.0)
    pixels[:, :3, :, :2] = -1.0  # black, and wholly transparent
    pixels[:, 3, :, :2] = -1.0
    small = scaled_picture(pixels, 2, 2)
    assert small[:, :3].min().item() == pytest.approx(1.0)

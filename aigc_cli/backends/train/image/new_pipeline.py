"""A pipeline from nothing: a tokenizer learnt from the captions, random weights, and an autoencoder trained on the pictures."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import diffusers
import torch
from transformers import CLIPTokenizer

from aigc_cli.backends.device import Placement
from aigc_cli.backends.train.image.autoencoder_run import AutoencoderRun, is_trained, prepare_autoencoder, take_trained
from aigc_cli.backends.train.image.blueprint import Blueprint
from aigc_cli.backends.train.image.caption_tokenizer import train_tokenizer
from aigc_cli.backends.train.image.new_parts import CaptionTokenizer, Parts, make_parts, open_autoencoder
from aigc_cli.core.events import Caution, Event, Progress
from aigc_cli.picture_data.dataset import PictureDataset
from aigc_cli.training.report import AUTOENCODER

DONE = "complete"  # a file beside the tokenizer's, written last


def open_autoencoder_run(
    blueprint: Blueprint, dataset: PictureDataset, folder: Path, seed: int, placement: Placement
) -> Generator[Event, None, AutoencoderRun | None]:
    """None where there is nothing to train: the autoencoder is one that was there before, or lies in `folder` since an earlier start.

    folder: keeps the tokenizer, and the autoencoder's checkpoints and weights.  placement: where it is trained, and in what.
    Raises: UsageError where there is no picture to learn from; AigcError.
    """
    if blueprint.existing_vae or is_trained(folder / AUTOENCODER):
        return None
    _, parts = yield from draw_parts(blueprint, dataset, folder, seed)
    return (yield from prepare_autoencoder(parts, blueprint.autoencoder_training, dataset, folder / AUTOENCODER, seed, placement))


def build_pipeline(blueprint: Blueprint, dataset: PictureDataset, folder: Path, seed: int) -> Generator[Event, None, Any]:
    """The same data and seed give the same pipeline, in float32 on the CPU, with nothing drawn from torch's own generator.

    folder: where the autoencoder was trained; one that was not stays as random as the rest, for an estimate, and that is said.
    Raises: UsageError, AigcError.
    """
    tokenizer, parts = yield from draw_parts(blueprint, dataset, folder, seed)
    if is_trained(folder / AUTOENCODER):
        take_trained(parts.vae, folder / AUTOENCODER)
    elif not blueprint.existing_vae:
        steps = blueprint.autoencoder_training.steps
        yield Caution(message=f"{steps:,} steps of training the autoencoder come before, and are not counted in the time")
    for part in (parts.text_encoder, parts.vae, parts.unet):
        part.eval()
    return diffusers.StableDiffusionPipeline(  # type: ignore[no-untyped-call]
        tokenizer=tokenizer,
        text_encoder=parts.text_encoder,
        vae=parts.vae,
        unet=parts.unet,
        scheduler=parts.scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def draw_parts(blueprint: Blueprint, dataset: PictureDataset, folder: Path, seed: int) -> Generator[Event, None, tuple[Any, Parts]]:
    """The tokenizer, learnt or found in `folder`, and all else with random weights, always the same."""
    tokenizer = yield from open_tokenizer(dataset, blueprint.tokenizer, folder / "tokenizer")
    vae = open_autoencoder(blueprint.existing_vae, with_weights=True) if blueprint.existing_vae else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return tokenizer, make_parts(blueprint.parts, CaptionTokenizer(len(tokenizer), blueprint.tokenizer.max_length), vae)


def open_tokenizer(dataset: PictureDataset, wanted: CaptionTokenizer, folder: Path) -> Generator[Event, None, Any]:
    """Learns it from the training captions, and says where it has fewer tokens than wanted; unless it lies in `folder` whole."""
    is_new = not (folder / DONE).exists()
    if is_new:
        yield Progress(phase="training the tokenizer", done=0, unit="captions")
        train_tokenizer((caption for row in dataset.of("train") for caption in row.captions), wanted, folder)
        (folder / DONE).touch()
    tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    if is_new and len(tokenizer) < wanted.vocab_size:
        message = f"the new tokenizer has {len(tokenizer):,} tokens, not {wanted.vocab_size:,}: the captions have no more worth learning"
        yield Caution(message=message)
    return tokenizer

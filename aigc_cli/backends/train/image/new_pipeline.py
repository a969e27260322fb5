"""A pipeline from nothing: a tokenizer learnt from the captions, random weights, and an autoencoder trained on the pictures."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import diffusers
import torch
from transformers import CLIPTokenizer

from aigc_cli.backends.device import Placement
from aigc_cli.backends.train.image.autoencoder import trained_autoencoder
from aigc_cli.backends.train.image.blueprint import Blueprint
from aigc_cli.backends.train.image.caption_tokenizer import train_tokenizer
from aigc_cli.backends.train.image.new_parts import CaptionTokenizer, make_parts, open_autoencoder
from aigc_cli.core.events import Caution, Event, Progress
from aigc_cli.picture_data.dataset import PictureDataset

DONE = "complete"  # a file beside the tokenizer's, written last


def build_pipeline(
    blueprint: Blueprint, dataset: PictureDataset, folder: Path, seed: int, placement: Placement | None
) -> Generator[Event, None, Any]:
    """The same data and seed give the same pipeline, in float32 on the CPU, with nothing drawn from torch's own generator.

    folder: keeps the tokenizer, and the autoencoder's checkpoints and weights, so that a run that was killed goes on from there,
    and a finished one is read.  placement: where the autoencoder is trained, and in what; None
    leaves it as random as the rest, for an estimate, and says so.
    Raises: UsageError, AigcError.
    """
    tokenizer = yield from open_tokenizer(dataset, blueprint.tokenizer, folder / "tokenizer")
    vae = open_autoencoder(blueprint.existing_vae, with_weights=True) if blueprint.existing_vae else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = make_parts(blueprint.parts, CaptionTokenizer(len(tokenizer), blueprint.tokenizer.max_length), vae)
    if vae is None and placement is None:
        steps = blueprint.autoencoder_training.steps
        yield Caution(message=f"{steps:,} steps of training the autoencoder come before, and are not counted in the time")
    elif vae is None and placement:
        yield from trained_autoencoder(parts, blueprint.autoencoder_training, dataset, folder / "autoencoder", seed, placement)
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


def open_tokenizer(dataset: PictureDataset, wanted: CaptionTokenizer, folder: Path) -> Generator[Event, None, Any]:
    """Learns it from the training captions, unless it lies in `folder` whole. Says where it has fewer tokens than wanted."""
    if not (folder / DONE).exists():
        yield Progress(phase="training the tokenizer", done=0, unit="captions")
        train_tokenizer((caption for row in dataset.of("train") for caption in row.captions), wanted, folder)
        (folder / DONE).touch()
    tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    if len(tokenizer) < wanted.vocab_size:
        message = f"the new tokenizer has {len(tokenizer):,} tokens, not {wanted.vocab_size:,}: the captions have no more worth learning"
        yield Caution(message=message)
    return tokenizer

"""The TOML that describes a new pipeline: what is refused before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from aigc_cli.backends.train.image.blueprint import read_blueprint
from aigc_cli.core.errors import UsageError
from tests.backends.train.image.tiny_blueprint import write_blueprint


@pytest.mark.parametrize(
    ("change", "message", "hint"),
    [
        (("hidden_size", "hiden_size"), "[text_encoder] has no hiden_size", "hidden_size"),
        (("layers_per_block", "layer_per_block"), "[unet] has no layer_per_block", "layers_per_block"),
        (("[scheduler]", "[sheduler]"), "there is no table [sheduler]", "scheduler"),
        (("AutoencoderTiny", "AutoencoderTinny"), "[vae] cannot be a AutoencoderTinny", "AutoencoderTiny"),
        (("DDIMScheduler", "FlowMatchEulerDiscreteScheduler"), "[scheduler] cannot be", "EulerDiscreteScheduler"),
        (("StableDiffusionPipeline", "FluxPipeline"), "[pipeline] cannot be a FluxPipeline", "StableDiffusionPipeline"),
        (("steps = 3", "stepps = 3"), "[autoencoder_training] has no stepps", "steps"),
        (("steps = 3", "steps = 0"), "[autoencoder_training] steps must be at least 1", ""),
        (("steps = 3", "steps = 3.5"), "[autoencoder_training] steps is 3.5", "whole"),
        (("shift = 2", "mirrored = 0.7\nhalved = 0.7"), "mirrored and halved", "lower one"),
        (("vocab_size = 560", "vocab_size = 100"), "vocab_size is 100", "515 or more"),
        (("vocab_size = 560", ""), "[tokenizer] has no vocab_size", "4096"),
        (("hidden_size = 16", "hidden_size = 16\nvocab_size = 560"), "[text_encoder] vocab_size", "[tokenizer]"),
        (("cross_attention_dim = 16", "cross_attention_dim = 24"), "cross_attention_dim is 24, and [text_encoder] hidden_size 16", "equal"),
        (("latent_channels = 4", "latent_channels = 8"), "[unet] in_channels is 4, and [vae] latent_channels 8", "equal"),
        (("out_channels = 4\nlatent", "out_channels = 3\nlatent"), "[vae] in_channels is 4, and out_channels 3", "transparency"),
        (("sample_size = 4", ""), "[unet] has no sample_size", "such as 16"),
        (("norm_num_groups = 4", "norm_num_groups = 5"), "[unet]", "correct"),
        (("num_attention_heads = 2", "num_attention_heads = 3"), "[text_encoder]", "correct"),
        (("decoder_block_out_channels = [8, 8, 8]", "decoder_block_out_channels = [8, 8]"), "[vae]", "correct"),
        (('DDIMScheduler"', 'DDIMScheduler"\nclip_sample = true'), "[scheduler] clip_sample is True", "leave it out"),
        (("[pipeline]", "stray = 1\n[pipeline]"), "stray stands outside of the tables", "move it"),
        (("[pipeline]", "pipeline ="), "pipeline.toml", "TOML"),
    ],
)
def test_what_cannot_be_built_is_refused_by_name(tmp_path: Path, change: tuple[str, str], message: str, hint: str) -> None:
    with pytest.raises(UsageError) as error:
        read_blueprint(write_blueprint(tmp_path, change))
    assert message in error.value.message
    assert hint in error.value.hint


def test_a_recipe_holds_options_and_tables_in_one_file(tmp_path: Path) -> None:
    path = write_blueprint(tmp_path, ("[pipeline]", 'from-scratch = "pipeline.toml"\nmax-steps = 5\n[pipeline]'))
    assert read_blueprint(path).tokenizer.vocab_size == 560


def test_sizes_are_known_before_there_are_weights(tmp_path: Path) -> None:
    outline = read_blueprint(write_blueprint(tmp_path)).outline()
    assert (outline.side, outline.scale) == (16, 4)
    assert all(weight.is_meta for weight in outline.unet.parameters())


def test_the_recipe_of_the_built_in_model_can_be_read() -> None:
    outline = read_blueprint(Path(__file__).parents[4] / "recipes" / "builtin-image.toml").outline()
    parts = (outline.text_encoder, outline.vae, outline.unet)
    assert outline.side == 64
    assert sum(weight.numel() for part in parts for weight in part.parameters()) * 2 < 25_000_000  # bytes in bfloat16


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        read_blueprint(tmp_path / "none.toml")

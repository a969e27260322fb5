"""A description of a pipeline of a few thousand weights, and pictures to begin it with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from aigc_cli.core.events import Event
from aigc_cli.picture_data.check import check_pictures
from aigc_cli.picture_data.dataset import PictureDataset

TABLES = """
[pipeline]
class = "StableDiffusionPipeline"

[tokenizer]
vocab_size = 560
max_length = 16

[text_encoder]
class = "CLIPTextModel"
hidden_size = 16
intermediate_size = 32
num_hidden_layers = 2
num_attention_heads = 2

[vae]
class = "AutoencoderTiny"
in_channels = 4
out_channels = 4
latent_channels = 4
encoder_block_out_channels = [8, 8, 8]
decoder_block_out_channels = [8, 8, 8]
num_encoder_blocks = [1, 1, 1]
num_decoder_blocks = [1, 1, 1]

[unet]
class = "UNet2DConditionModel"
sample_size = 4
in_channels = 4
out_channels = 4
block_out_channels = [8, 16]
layers_per_block = 1
down_block_types = ["DownBlock2D", "CrossAttnDownBlock2D"]
up_block_types = ["CrossAttnUpBlock2D", "UpBlock2D"]
cross_attention_dim = 16
attention_head_dim = 2
norm_num_groups = 4

[scheduler]
class = "DDIMScheduler"
prediction_type = "v_prediction"

[autoencoder_training]
steps = 3
batch_size = 4
shift = 2
"""


def write_blueprint(folder: Path, *changes: tuple[str, str]) -> Path:
    """changes: what stands in TABLES, and what stands there instead."""
    text = TABLES
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / "pipeline.toml"
    path.write_text(text, "utf-8")
    return path


def draw_pictures(folder: Path, count: int = 10) -> Path:
    """Disks of different colours on nothing, 20 x 16 pixels, with captions in two languages."""
    folder.mkdir()
    for number in range(count):
        picture = Image.new("RGBA", (20, 16), (0, 0, 0, 0))
        ImageDraw.Draw(picture).ellipse((2 + number % 3, 2, 14, 13), (25 * number, 255 - 25 * number, 90, 255))
        picture.save(folder / f"{number}.png")
        caption = f"一个圆，扁平 {number}" if number % 2 else f"a disk, flat {number}"
        (folder / f"{number}.txt").write_text(caption, "utf-8")
    return folder


def checked(folder: Path, val_split: float = 0.2) -> PictureDataset:
    events = check_pictures((str(folder),), (), val_split=val_split, skip_bad=False, rejects=None)
    dataset: PictureDataset = finished(events)[1]
    return dataset


def finished(stream: object) -> tuple[list[Event], Any]:
    """What a generator yields, and what it returns."""
    events: list[Event] = []
    while True:
        try:
            events.append(next(stream))  # type: ignore[call-overload]
        except StopIteration as end:
            return events, end.value

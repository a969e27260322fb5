"""A model of Stable Diffusion 1.5's shape with random weights, in float32, as a diffusers folder.

    python benchmarks/sd15_model.py FOLDER --vocabulary bpe_simple_vocab_16e6.txt.gz

The vocabulary is CLIP's, as its authors publish it. Without training, a network's last layer says little: the UNet's and the VAE's are
scaled so that what is denoised has the spread of real latents, and a picture that of a photograph.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

SEED = 15
MERGES = 49_152 - 256 - 2  # what CLIP reads of its vocabulary file
MARKS = ["<|startoftext|>", "<|endoftext|>"]
CONTRAST = 2.0  # of the pictures


def clip_tokenizer(vocabulary: Path) -> CLIPTokenizer:
    merges = gzip.decompress(vocabulary.read_bytes()).decode("utf-8").split("\n")[1 : MERGES + 1]
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]  # the order of CLIP's alphabet: bytes that print, then the others
    alphabet = [chr(code) for code in visible] + [chr(256 + place) for place in range(256 - len(visible))]
    tokens = [*alphabet, *(byte + "</w>" for byte in alphabet), *("".join(merge.split()) for merge in merges), *MARKS]
    pairs = [tuple(merge.split()) for merge in merges]
    return CLIPTokenizer(vocab={token: number for number, token in enumerate(tokens)}, merges=pairs, model_max_length=77)


def text_encoder() -> CLIPTextModel:
    """CLIP ViT-L/14's, 123M parameters."""
    shape = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12, "projection_dim": 768}
    return CLIPTextModel(CLIPTextConfig(**shape, vocab_size=49_408, bos_token_id=49_406, eos_token_id=49_407, pad_token_id=49_407))


def unet() -> UNet2DConditionModel:
    """860M parameters."""
    return UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)


def vae() -> AutoencoderKL:
    """84M parameters."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        sample_size=512,
    )


def write_model(folder: Path, vocabulary: Path) -> None:
    """4.3 GB."""
    torch.manual_seed(SEED)
    pipe = StableDiffusionPipeline(
        vae=vae(),
        text_encoder=text_encoder(),
        tokenizer=clip_tokenizer(vocabulary),
        unet=unet(),
        scheduler=EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    with torch.no_grad():
        pipe.vae.decoder.conv_out.weight *= CONTRAST
    pipe.save_pretrained(folder)
    restore_names(folder / "text_encoder/model.safetensors")


def restore_names(path: Path) -> None:
    """Those of the published model, which stable-diffusion.cpp looks for: transformers 5 reads them and writes shorter ones."""
    tensors = load_file(path)
    save_file({f"text_model.{name.removeprefix('text_model.')}": tensor for name, tensor in tensors.items()}, path, {"format": "pt"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--vocabulary", type=Path, required=True)
    args = parser.parse_args()
    write_model(args.folder, args.vocabulary)


if __name__ == "__main__":
    main()
